//! schemathesis makes up requests by the API's own document and looks at every reply: none may be a
//! server's error, of a status, type, header or shape that the document does not have there, given
//! without the secret, or to a method that is not there.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::server::{ACCOUNT_TOKEN, SECRET, Server};
use crate::stack;

/// What is checked of each reply.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,\
    response_headers_conformance,response_schema_conformance,ignored_auth,unsupported_method,\
    allow_header_conformance";

/// Which secret goes with which security scheme of the document.
const CONFIG: &str = "[auth.openapi.secret]\nbearer = \"${FANFALL_SECRET}\"\n\
    [auth.openapi.account]\nbearer = \"${FANFALL_ACCOUNT_TOKEN}\"\n";

#[test]
fn the_api_keeps_to_its_document() {
    let server = Server::start();
    let python = std::env::var_os("FANFALL_AIORTC").expect("cargo xtask test says where it is");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    // It keeps what it learned of an API where it is started, and reads its settings there.
    let place = tempfile::tempdir().unwrap();
    std::fs::write(place.path().join("schemathesis.toml"), CONFIG).unwrap();
    let output = Command::new(PathBuf::from(python).with_file_name("schemathesis"))
        .args(["run", &server.url("/v1/openapi.json"), "--checks", CHECKS])
        // Rules of the document at their borders, then requests at random; the same ones each time.
        .args(["--phases", "coverage,fuzzing", "--max-examples", "5", "--seed", "1"])
        // A stream of events has no end.
        .args(["--exclude-path-regex", "/events$"])
        .args(["--workers", "1", "--no-shrink", "--warnings", "off"])
        .env("FANFALL_API", stack::api(&server))
        .env("FANFALL_SECRET", SECRET)
        .env("FANFALL_ACCOUNT_TOKEN", ACCOUNT_TOKEN)
        .env("FANFALL_SDP", folder.join("../controlplane/tests/fixtures/sdp"))
        .env("PYTHONPATH", folder.join("clients"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("SCHEMATHESIS_HOOKS", "api_hooks")
        .env("NO_COLOR", "1")
        .current_dir(place.path())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("No issues found"), "{text}");

    // It came past the outer checks: each of these was reached by a request that was made up.
    let (_, metrics) = server.get("/metrics");
    for (endpoint, status) in [
        ("sessions_new", 201),
        ("tracks_new", 200),
        ("tracks_new", 406),
        ("tracks_close", 200),
        ("datachannels_establish", 200),
        ("stream_tokens", 201),
        ("whip", 201),
        ("whip_session", 428),
        ("whep", 409),
        ("usage", 200),
        ("account_apps", 201),
        ("account_sessions", 200),
        ("account_webhooks", 201),
        ("account_webhooks", 200),
    ] {
        let line = format!("endpoint=\"{endpoint}\",status=\"{status}\"");
        assert!(metrics.contains(&line), "no {status} of {endpoint}:\n{metrics}");
    }
}
