//! The clients step: installs the clients of other makers that tests/clients has, builds the server's
//! binary, runs the test binary `clients` of the crate `tests` against them; and `cargo xtask matrix`,
//! which puts the table that the tests make into the README. What is installed stays: npm's packages
//! beside their lock file, Python's in a virtual environment there, the rest with the distribution.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{browser, process, readme};

/// Where the scripts and lock files are.
const FOLDER: &str = "tests/clients";

/// The distribution's packages: GStreamer, its bindings, Node, what makes virtual environments.
const PACKAGES: [&str; 12] = [
    "gir1.2-gst-plugins-bad-1.0",
    "gir1.2-gst-plugins-base-1.0",
    "gstreamer1.0-nice",
    "gstreamer1.0-plugins-bad",
    "gstreamer1.0-plugins-base",
    "gstreamer1.0-plugins-good",
    "openssl",
    "python3",
    "python3-gi",
    "python3-gst-1.0",
    "python3-venv",
    "ca-certificates",
];

/// Node and npm, where they are not there in another way.
const NODE: [&str; 2] = ["nodejs", "npm"];

/// The system's Python: the one that the distribution's bindings are for.
const PYTHON: &str = "/usr/bin/python3";

/// Ends well where everything that the GStreamer client uses is there.
const PROBE: &str = "\
import gi
for name in ('Gst', 'GstApp'): gi.require_version(name, '1.0')
for name in ('GstSdp', 'GstWebRTC'): gi.require_version(name, '1.0')
from gi.repository import Gst, GstApp, GstSdp, GstWebRTC
Gst.init(None)
needed = 'webrtcbin nicesink dtlsdec srtpdec vp8enc opusenc rtpvp8pay rtpopuspay udpsrc appsink'
raise SystemExit(any(Gst.ElementFactory.find(name) is None for name in needed.split()))
";

/// Runs the client tests whose names contain `filter`.
pub(crate) fn run(root: &Path, filter: Option<&str>) -> Result<(), String> {
    let folder = root.join(FOLDER);
    install_system()?;
    let node = process::find(&["node", "nodejs"]).ok_or("no Node after its installation")?;
    install_npm(&folder)?;
    let aiortc = install_pip(&folder)?;
    let mut test = browser::test_command(root, "clients", filter)?;
    test.env("FANFALL_NODE", node)
        .env("FANFALL_AIORTC", aiortc)
        .env("FANFALL_PYTHON", PYTHON)
        .env("FANFALL_MATRIX", matrix_file(root)?);
    process::run(&mut test)
}

/// Runs the test that makes the table and puts it into the README.
pub(crate) fn matrix() -> Result<(), String> {
    let root = process::root()?;
    run(&root, Some("every_client"))?;
    let file = matrix_file(&root)?;
    let table =
        std::fs::read_to_string(&file).map_err(|error| format!("{}: {error}", file.display()))?;
    readme::put(&root, TABLE_BEGIN, &table)
}

/// Where the tests leave the table.
fn matrix_file(root: &Path) -> Result<PathBuf, String> {
    Ok(browser::target(root)?.join("matrix.md"))
}

/// What stands before the table in the README.
pub(crate) const TABLE_BEGIN: &str = "<!-- cargo xtask matrix -->";

fn install_system() -> Result<(), String> {
    let mut missing: Vec<&str> = Vec::new();
    if process::read(Command::new(PYTHON).args(["-c", PROBE])).is_err() {
        missing.extend(PACKAGES);
    }
    if process::find(&["node", "nodejs"]).is_none() || process::find(&["npm"]).is_none() {
        missing.extend(NODE);
    }
    if missing.is_empty() {
        return Ok(());
    }
    browser::install_packages("the client tests need GStreamer and Node", &missing)
}

/// The packages of package-lock.json, which names their hashes.
fn install_npm(folder: &Path) -> Result<(), String> {
    let install = || {
        let mut npm = Command::new("npm");
        npm.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]).current_dir(folder);
        process::run(&mut npm)
    };
    once(&folder.join("package-lock.json"), &folder.join("node_modules/.installed"), install)
}

/// The packages of requirements.txt with its hashes; returns the Python that has them.
fn install_pip(folder: &Path) -> Result<PathBuf, String> {
    let venv = folder.join("venv");
    let python = venv.join("bin/python");
    let install = || {
        process::run(Command::new(PYTHON).args(["-m", "venv", "--clear"]).arg(&venv))?;
        let mut pip = Command::new(&python);
        pip.args(["-m", "pip", "install", "--quiet", "--only-binary", ":all:"])
            .args(["--require-hashes", "--requirement", "requirements.txt"])
            .current_dir(folder);
        process::run(&mut pip)
    };
    once(&folder.join("requirements.txt"), &venv.join(".installed"), install)?;
    Ok(python)
}

/// Installs what a lock file names, unless `stamp` says that this was done.
fn once(
    lock: &Path,
    stamp: &Path,
    install: impl FnOnce() -> Result<(), String>,
) -> Result<(), String> {
    let wanted =
        std::fs::read(lock).map_err(|error| format!("{} is not read: {error}", lock.display()))?;
    if std::fs::read(stamp).is_ok_and(|done| done == wanted) {
        return Ok(());
    }
    install().map_err(|reason| {
        format!(
            "the packages of {} were not installed ({reason}): is there a network? The other \
             steps run with cargo xtask test --no-browser",
            lock.display()
        )
    })?;
    std::fs::write(stamp, wanted).map_err(|error| format!("{}: {error}", stamp.display()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn what_is_installed_is_installed_once() {
        let folder = std::env::temp_dir().join(format!("xtask-once-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let (lock, stamp) = (folder.join("lock"), folder.join("stamp"));
        std::fs::write(&lock, "one").unwrap();
        assert!(once(&lock, &stamp, || Err("no network".to_owned())).is_err());
        once(&lock, &stamp, || Ok(())).unwrap();
        once(&lock, &stamp, || Err("installed again".to_owned())).unwrap();
        std::fs::write(&lock, "two").unwrap();
        assert!(once(&lock, &stamp, || Err("installed anew".to_owned())).is_err());
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
