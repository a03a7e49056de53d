//! The pipe to a `serve` process: starts a data plane without control plane, opens places in it, asks
//! for its counts. Called by `channels`.

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use crate::serve::hex;
use crate::usage::Usage;
use crate::{Outcome, ServeArguments};

/// The server process with its two pipes.
pub(crate) struct Server {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    pub(crate) address: SocketAddr,
    pub(crate) driver: String,
}

impl Server {
    pub(crate) fn start(arguments: &ServeArguments) -> Outcome<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg("serve")
            .args(["--cores", &arguments.cores.to_string()])
            .args(["--server-cpu", &arguments.server_cpu.to_string()])
            .args(["--driver", &format!("{:?}", arguments.driver).to_lowercase()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let input = child.stdin.take().ok_or("no stdin")?;
        let mut output = BufReader::new(child.stdout.take().ok_or("no stdout")?);
        let ready = read_line(&mut output)?;
        let words: Vec<&str> = ready.split_whitespace().collect();
        let ["ready", port, _, driver, why @ ..] = words.as_slice() else {
            return Err(format!("the server said {ready:?}").into());
        };
        if why != ["-"] {
            eprintln!("io_uring is not used: {}", why.join(" "));
        }
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port.parse()?));
        Ok(Self { child, input, output, address, driver: (*driver).to_owned() })
    }

    fn ask(&mut self, line: &str) -> Outcome<String> {
        writeln!(self.input, "{line}")?;
        self.input.flush()?;
        read_line(&mut self.output)
    }

    pub(crate) fn open(&mut self, role: &str, fingerprint: &[u8]) -> Outcome<(String, String)> {
        let reply = self.ask(&format!("open {role} {}", hex(fingerprint)))?;
        match reply.split_whitespace().collect::<Vec<_>>().as_slice() {
            ["ticket", ufrag, password] => Ok(((*ufrag).to_owned(), (*password).to_owned())),
            _ => Err(format!("the server said {reply:?}").into()),
        }
    }

    pub(crate) fn stats(&mut self) -> Outcome<serde_json::Value> {
        Ok(serde_json::from_str(&self.ask("stats")?)?)
    }

    pub(crate) fn usage(&self) -> Outcome<Usage> {
        Ok(Usage::of(self.child.id())?)
    }

    /// Ends the server by closing its stdin.
    pub(crate) fn stop(self) -> Outcome<()> {
        let Self { mut child, input, output, .. } = self;
        drop((input, output));
        child.wait()?;
        Ok(())
    }
}

fn read_line(output: &mut BufReader<ChildStdout>) -> Outcome<String> {
    let mut line = String::new();
    if output.read_line(&mut line)? == 0 {
        return Err("the server ended".into());
    }
    Ok(line)
}
