//! The browser step: makes sure that Chromium and its driver are there (and Firefox, where that is
//! easy), builds the server's binary, runs the test binary `browser` of the crate `tests` against
//! them. The tests learn the programs' places through the environment; see tests/browser/main.rs.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::process;

/// Names of the browser's program, the distributions' own first. `chromium-browser` is Ubuntu's.
const CHROMIUM: [&str; 5] =
    ["chromium", "chromium-browser", "google-chrome-stable", "google-chrome", "/snap/bin/chromium"];

/// Names of its WebDriver server.
const CHROMEDRIVER: [&str; 4] = [
    "chromedriver",
    "/usr/lib/chromium-browser/chromedriver",
    "/usr/lib/chromium/chromedriver",
    "/snap/bin/chromium.chromedriver",
];

/// Names of the second make of browser, which needs no driver.
const FIREFOX: [&str; 2] = ["firefox-esr", "firefox"];

/// What makes the networks that some tests need; they say they skip without it.
const NETWORKS: [&str; 2] = ["ip", "/usr/sbin/ip"];

/// The programs of a browser test.
struct Programs {
    chromium: PathBuf,
    chromedriver: PathBuf,
    firefox: Option<PathBuf>,
}

/// Runs the browser tests whose names contain `filter`.
pub(crate) fn run(root: &Path, filter: Option<&str>) -> Result<(), String> {
    process::run(&mut test_command(root, "browser", filter)?)
}

/// Builds the server; the command that runs a test binary that needs it and browsers.
pub(crate) fn test_command(
    root: &Path,
    name: &str,
    filter: Option<&str>,
) -> Result<Command, String> {
    let networks = process::find(&NETWORKS).is_some();
    let programs = match find() {
        Some(programs) if programs.firefox.is_some() && networks => programs,
        Some(programs) => install().unwrap_or(programs),
        None => install()?,
    };
    if programs.firefox.is_none() {
        println!("no Firefox here: the tests with Firefox will be SKIPPED");
    }
    // With the whole workspace, as the step before: parts of it alone would have the dependencies'
    // features decided, and them compiled, anew. The tests of the API bring the server's binary.
    let workspace = ["test", "--locked", "--workspace", "--test", name];
    process::run(process::cargo(root).args(workspace).args(["--test", "api", "--no-run"]))?;
    let target = target(root)?;
    let mut test = process::cargo(root);
    test.args(workspace)
        .arg("--")
        .args(filter)
        // One at a time: the figures that the tests report are of one browser, not of several
        // that compete for the same cores.
        .args(["--test-threads", "1", "--nocapture"])
        .env("FANFALL_CHROMIUM", &programs.chromium)
        .env("FANFALL_CHROMEDRIVER", &programs.chromedriver)
        .envs(programs.firefox.iter().map(|path| ("FANFALL_FIREFOX", path)))
        .env("FANFALL_BINARY", target.join("debug").join("fanfall"))
        .env("FANFALL_SCREENSHOTS", target.join("browser"));
    Ok(test)
}

fn find() -> Option<Programs> {
    Some(Programs {
        chromium: process::find(&CHROMIUM)?,
        chromedriver: process::find(&CHROMEDRIVER)?,
        firefox: process::find(&FIREFOX),
    })
}

/// Installs the browsers' packages.
fn install() -> Result<Programs, String> {
    let release = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    install_packages("the browser tests need Chromium and chromedriver", packages(&release))?;
    find().ok_or_else(|| "the packages were installed but have no such programs".to_owned())
}

/// Installs packages of the distribution when that is allowed, else says what to install and why.
pub(crate) fn install_packages(why: &str, packages: &[&str]) -> Result<(), String> {
    let advice = format!("apt-get update && apt-get install {}", packages.join(" "));
    let manual = |reason: String| {
        format!(
            "{why}; {reason}. Install them:\n    {advice}\nor run the other steps: \
             cargo xtask test --only STEP"
        )
    };
    if process::find(&["apt-get"]).is_none() {
        return Err(manual("this system has no apt-get".to_owned()));
    }
    let user = process::read(Command::new("id").arg("-u"))?;
    if user.trim() != "0" {
        return Err(manual("installing needs root".to_owned()));
    }
    process::run(Command::new("apt-get").arg("update")).map_err(&manual)?;
    process::run(
        Command::new("apt-get")
            .args(["install", "--yes", "--no-install-recommends"])
            .args(packages)
            .env("DEBIAN_FRONTEND", "noninteractive"),
    )
    .map_err(&manual)
}

/// The packages of this distribution. Ubuntu has its own names and ships them as snaps; its Firefox
/// is left out, because a snap cannot read the profile that a test makes for it.
fn packages(os_release: &str) -> &'static [&'static str] {
    let ubuntu = os_release.lines().any(|line| line.trim().replace('"', "") == "ID=ubuntu");
    if ubuntu {
        &["chromium-browser", "chromium-chromedriver", "iproute2"]
    } else {
        &["chromium", "chromium-driver", "firefox-esr", "iproute2"]
    }
}

/// Where cargo builds.
pub(crate) fn target(root: &Path) -> Result<PathBuf, String> {
    let metadata = process::read(process::cargo(root).args([
        "metadata",
        "--format-version",
        "1",
        "--no-deps",
        "--offline",
    ]))?;
    target_directory(&metadata)
        .map(PathBuf::from)
        .ok_or_else(|| "cargo metadata names no target directory".to_owned())
}

/// The value of `target_directory` in the output of cargo metadata, which has no escapes in it
/// unless the path has.
fn target_directory(metadata: &str) -> Option<&str> {
    let (_, rest) = metadata.split_once("\"target_directory\":\"")?;
    rest.split_once('"').map(|(value, _)| value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_follow_the_distribution() {
        let debian = "PRETTY_NAME=\"Debian GNU/Linux 12\"\nID=debian\n";
        let ubuntu = "NAME=\"Ubuntu\"\nID=ubuntu\nID_LIKE=debian\n";
        let mint = "ID=linuxmint\nID_LIKE=\"ubuntu debian\"\n";
        let debians = ["chromium", "chromium-driver", "firefox-esr", "iproute2"];
        assert_eq!(packages(debian), debians);
        let ubuntus = ["chromium-browser", "chromium-chromedriver", "iproute2"];
        assert_eq!(packages(ubuntu), ubuntus);
        assert_eq!(packages(mint), debians);
    }

    #[test]
    fn target_directory_is_read_from_metadata() {
        let metadata = r#"{"packages":[],"target_directory":"/a/target","version":1}"#;
        assert_eq!(target_directory(metadata), Some("/a/target"));
        assert_eq!(target_directory("{}"), None);
    }
}
