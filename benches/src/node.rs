//! The process under measurement: the server's own library with its own settings, as the binary runs
//! it. Started by `subject::fanfall`; says where it is in one line and serves until its input ends.

use std::ffi::OsString;
use std::io::{Read, Write};

use crate::{NodeArguments, Outcome};

/// Serves until stdin ends.
pub(crate) fn run(arguments: &NodeArguments) -> Outcome<()> {
    let settings = ["fanfall", "--http", "127.0.0.1:0", "--media-bind", "127.0.0.1"];
    let more = ["--media-port", "0", "--cores", "1", "--announce", "127.0.0.1", "--driver"];
    let settings = settings.iter().chain(&more).map(OsString::from);
    let settings = settings.chain([OsString::from(&arguments.driver)]);
    let config = controlplane::Config::from_args(settings)
        .map_err(|refusal| format!("settings: {refusal:?}"))?;
    let running = controlplane::start(config)?;
    let app = running.apps.first().ok_or("no app")?;
    let why = running.fallback_reason.as_deref().unwrap_or_default().replace('\n', " ");
    let (http, id, secret) = (running.http_addr, &app.id, &app.secret);
    println!("ready {http} {id} {secret} {:?} {why}", running.driver);
    std::io::stdout().flush()?;
    std::io::stdin().read_to_end(&mut Vec::new())?;
    running.stop();
    Ok(())
}
