//! The files of the server's pages, embedded, each under its path. `endpoints.rs` routes to them,
//! `respond.rs` sends them as they are.

/// A file of a page.
#[derive(PartialEq, Eq, Debug)]
pub struct Asset {
    /// Path that it is served under.
    pub path: &'static str,
    /// Content type.
    pub kind: &'static str,
    /// Its text.
    pub text: &'static str,
}

const HTML: &str = "text/html; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";

macro_rules! asset {
    ($path:literal, $kind:ident, $file:literal) => {
        Asset { path: $path, kind: $kind, text: include_str!(concat!("../web/", $file)) }
    };
}

/// Every file. A call's link names its room, so its page stands under all of them.
pub(crate) static ASSETS: [Asset; 27] = [
    asset!("/", HTML, "index.html"),
    asset!("/index.html", HTML, "index.html"),
    asset!("/app.js", SCRIPT, "app.js"),
    asset!("/style.css", STYLE, "style.css"),
    asset!("/docs", HTML, "docs.html"),
    asset!("/docs.js", SCRIPT, "docs.js"),
    asset!("/docs.css", STYLE, "docs.css"),
    asset!("/demo", HTML, "demo/index.html"),
    asset!("/demo/", HTML, "demo/index.html"),
    asset!("/demo/{room}", HTML, "demo/index.html"),
    asset!("/demo/assets/style.css", STYLE, "demo/style.css"),
    asset!("/demo/assets/panels.css", STYLE, "demo/panels.css"),
    asset!("/demo/assets/main.js", SCRIPT, "demo/main.js"),
    asset!("/demo/assets/lobby.js", SCRIPT, "demo/lobby.js"),
    asset!("/demo/assets/devices.js", SCRIPT, "demo/devices.js"),
    asset!("/demo/assets/api.js", SCRIPT, "demo/api.js"),
    asset!("/demo/assets/link.js", SCRIPT, "demo/link.js"),
    asset!("/demo/assets/call.js", SCRIPT, "demo/call.js"),
    asset!("/demo/assets/meter.js", SCRIPT, "demo/meter.js"),
    asset!("/demo/assets/quality.js", SCRIPT, "demo/quality.js"),
    asset!("/demo/assets/grid.js", SCRIPT, "demo/grid.js"),
    asset!("/demo/assets/chat.js", SCRIPT, "demo/chat.js"),
    asset!("/dashboard", HTML, "dashboard/index.html"),
    asset!("/dashboard/assets/style.css", STYLE, "dashboard/style.css"),
    asset!("/dashboard/assets/main.js", SCRIPT, "dashboard/main.js"),
    asset!("/dashboard/assets/session.js", SCRIPT, "dashboard/session.js"),
    asset!("/dashboard/assets/plot.js", SCRIPT, "dashboard/plot.js"),
];
