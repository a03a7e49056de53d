//! Networks of their own: network namespaces (network_namespaces(7)) joined by virtual links, made
//! with iproute2, for what the loopback address cannot show. Called by `tcp`. Needs root; the
//! namespaces end with the value, and the links with them.

use std::fs::File;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use nix::sched::{CloneFlags, setns};

/// Tells the namespaces of one process apart.
static NUMBER: AtomicU32 = AtomicU32::new(0);

/// One namespace.
pub(crate) struct Namespace {
    name: String,
}

impl Namespace {
    /// A namespace with nothing but loopback; None, and a word about it, where none can be made.
    fn new(role: &str) -> Option<Self> {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("fanfall-{}-{number}-{role}", std::process::id());
        let made = Command::new("ip").args(["netns", "add", &name]).output();
        if !made.as_ref().is_ok_and(|output| output.status.success()) {
            println!("SKIPPED: no network namespace can be made here (root, iproute2?): {made:?}");
            return None;
        }
        let namespace = Self { name };
        namespace.ip("link set lo up");
        Some(namespace)
    }

    /// Runs `body` on a thread of the namespace: sockets it opens and programs it starts are there.
    pub(crate) fn run<T: Send>(&self, body: impl FnOnce() -> T + Send) -> T {
        let ran = std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                let file = File::open(format!("/run/netns/{}", self.name)).unwrap();
                setns(file, CloneFlags::CLONE_NEWNET).unwrap();
                body()
            });
            thread.join()
        });
        ran.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    /// One command of ip(8) in the namespace.
    fn ip(&self, arguments: &str) {
        let mut command = Command::new("ip");
        let output = command.args(["-n", &self.name]).args(arguments.split(' ')).output().unwrap();
        assert!(output.status.success(), "ip {arguments}: {output:?}");
    }

    /// Joins `device` here and `other`'s device there, with an address each.
    fn join(&self, device: &str, address: &str, (other, there, at): (&Self, &str, &str)) {
        let peer = format!("type veth peer name {there} netns {}", other.name);
        self.ip(&format!("link add {device} {peer}"));
        for (namespace, device, address) in [(self, device, address), (other, there, at)] {
            let tentative = if address.contains(':') { " nodad" } else { "" };
            namespace.ip(&format!("addr add {address} dev {device}{tentative}"));
            namespace.ip(&format!("link set {device} up"));
        }
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "del", &self.name]).output();
    }
}

/// A client and a server, and what may lie between them.
pub(crate) struct Network {
    pub(crate) client: Namespace,
    pub(crate) server: Namespace,
    /// The server's address.
    pub(crate) address: &'static str,
    _firewall: Option<Namespace>,
}

impl Network {
    /// Two hosts with IPv6 addresses and no others.
    pub(crate) fn six_only() -> Option<Self> {
        let (client, server) = (Namespace::new("client")?, Namespace::new("server")?);
        client.join("eth0", "fd77::1/64", (&server, "eth0", "fd77::2/64"));
        client.ip("-6 route add default via fd77::2");
        server.ip("-6 route add default via fd77::1");
        Some(Self { client, server, address: "fd77::2", _firewall: None })
    }

    /// Two hosts with IPv4 addresses and no others; a firewall between them forwards everything
    /// but UDP, of which it says nothing.
    pub(crate) fn without_udp() -> Option<Self> {
        let (client, server) = (Namespace::new("client")?, Namespace::new("server")?);
        let firewall = Namespace::new("firewall")?;
        client.join("eth0", "10.77.1.2/24", (&firewall, "client", "10.77.1.1/24"));
        server.join("eth0", "10.77.2.2/24", (&firewall, "server", "10.77.2.1/24"));
        client.ip("route add default via 10.77.1.1");
        server.ip("route add default via 10.77.2.1");
        firewall.run(|| std::fs::write("/proc/sys/net/ipv4/ip_forward", "1").unwrap());
        firewall.ip("rule add ipproto udp blackhole");
        Some(Self { client, server, address: "10.77.2.2", _firewall: Some(firewall) })
    }
}
