//! The sockets of a driver: a UDP one per address family and, where TCP is wanted, a listener beside
//! it on the same port; all of a data plane's drivers in one SO_REUSEPORT group of each. Called
//! once per driver, at open.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, RawFd};

use nix::sys::socket::{setsockopt, sockopt};
use socket2::{Domain, Protocol, Socket, Type};

use crate::DriverConfig;

/// Tries to find a port that is free in both families.
const PORT_TRIES: usize = 32;
/// Connections the kernel keeps until they are accepted; it bounds half-open ones by itself.
const BACKLOG: i32 = 512;

/// What a driver is bound to.
pub(crate) struct Group {
    /// UDP sockets, in the order of the configuration.
    pub(crate) sockets: Vec<Bound>,
    /// TCP listeners; none where TCP is not wanted.
    pub(crate) listeners: Vec<Socket>,
}

/// One bound socket.
pub(crate) struct Bound {
    socket: Socket,
    /// What it is bound to.
    pub(crate) local: SocketAddr,
    /// Whether the kernel knows UDP_SEGMENT.
    pub(crate) segments: bool,
    /// Receive buffer the system granted, in bytes of its own accounting.
    pub(crate) receive_buffer: usize,
}

impl Bound {
    /// Its descriptor, valid as long as this value lives.
    pub(crate) fn descriptor(&self) -> RawFd {
        self.socket.as_raw_fd()
    }

    /// Sets whether calls on it wait: the ring wants sockets that do (it arms a poll), the calls
    /// want sockets that do not.
    pub(crate) fn set_blocking(&self, blocking: bool) -> io::Result<()> {
        self.socket.set_nonblocking(!blocking)
    }
}

/// Opens and binds the sockets of `config`, in its order.
pub(crate) fn open_group(config: &DriverConfig) -> io::Result<Group> {
    let refuse = |reason| Err(io::Error::new(io::ErrorKind::InvalidInput, reason));
    match config.binds[..] {
        [_] => {}
        [one, two] if one.is_ipv4() != two.is_ipv4() && one.port() == two.port() => {}
        _ => return refuse("one address, or one of each family with the same port"),
    }
    let chosen_by_system = config.binds.iter().any(|bind| bind.port() == 0);
    if chosen_by_system && config.join {
        return refuse("a group to join has a port");
    }
    let mut tries = if chosen_by_system { PORT_TRIES } else { 1 };
    loop {
        tries -= 1;
        match open_all(config) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && tries != 0 => {}
            other => return other,
        }
    }
}

/// One try: the first socket's port is everybody's.
fn open_all(config: &DriverConfig) -> io::Result<Group> {
    let mut sockets: Vec<Bound> = Vec::with_capacity(config.binds.len());
    let mut listeners = Vec::new();
    for bind in &config.binds {
        let mut bind = *bind;
        if let Some(first) = sockets.first() {
            bind.set_port(first.local.port());
        }
        let socket = open_one(bind, config)?;
        if config.tcp_connections != 0 {
            listeners.push(listen(socket.local, config.join)?);
        }
        sockets.push(socket);
    }
    Ok(Group { sockets, listeners })
}

fn listen(bind: SocketAddr, join: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(bind), Type::STREAM, Some(Protocol::TCP))?;
    // Connections of the last run that linger are no owner of the port.
    socket.set_reuse_address(true)?;
    bind_shared(&socket, bind, join)?;
    socket.set_nonblocking(true)?;
    socket.listen(BACKLOG)?;
    Ok(socket)
}

fn open_one(bind: SocketAddr, config: &DriverConfig) -> io::Result<Bound> {
    let socket = Socket::new(Domain::for_address(bind), Type::DGRAM, Some(Protocol::UDP))?;
    bind_shared(&socket, bind, config.join)?;
    grow_buffers(&socket, config.socket_buffer)?;
    // A kernel that refuses gives no stamps, which every reader of one must live with anyway.
    let _ = setsockopt(&socket.as_fd(), sockopt::ReceiveTimestampns, &true);
    let Some(local) = socket.local_addr()?.as_socket() else {
        return Err(io::Error::other("a socket without an address"));
    };
    // 0 means no default segment size; a kernel that refuses does not know the option.
    let segments = setsockopt(&socket.as_fd(), sockopt::UdpGsoSegment, &0).is_ok();
    let receive_buffer = socket.recv_buffer_size()?;
    Ok(Bound { socket, local, segments, receive_buffer })
}

/// Binds a socket that shares its port with the other drivers'.
fn bind_shared(socket: &Socket, bind: SocketAddr, join: bool) -> io::Result<()> {
    if bind.is_ipv6() {
        // IPv4 has its own socket; mapped addresses would give one peer two names.
        socket.set_only_v6(true)?;
    }
    // Who binds first binds without sharing, so that a second process on the port is an error and
    // not a silent thief of half of all flows; sharing begins when that succeeded.
    if join {
        socket.set_reuse_port(true)?;
    }
    socket.bind(&bind.into())?;
    if !join {
        socket.set_reuse_port(true)?;
    }
    Ok(())
}

/// Asks for big buffers: beyond the system's limit where that is permitted, else up to it.
fn grow_buffers(socket: &Socket, bytes: usize) -> io::Result<()> {
    if setsockopt(&socket.as_fd(), sockopt::RcvBufForce, &bytes).is_err() {
        socket.set_recv_buffer_size(bytes)?;
    }
    if setsockopt(&socket.as_fd(), sockopt::SndBufForce, &bytes).is_err() {
        socket.set_send_buffer_size(bytes)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::DriverChoice;

    fn config(binds: &[&str], join: bool) -> DriverConfig {
        DriverConfig {
            binds: binds.iter().map(|bind| bind.parse().unwrap()).collect(),
            join,
            tcp_connections: 1,
            choice: DriverChoice::Auto,
            send_slots: 1,
            receive_buffers: 1,
            socket_buffer: 1 << 20,
        }
    }

    #[test]
    fn both_families_get_one_port_and_others_can_join_it() {
        let first = open_group(&config(&["127.0.0.1:0", "[::1]:0"], false)).unwrap();
        let port = first.sockets[0].local.port();
        assert_ne!(port, 0);
        assert_eq!(first.sockets[1].local.port(), port);
        for (listener, socket) in first.listeners.iter().zip(&first.sockets) {
            assert_eq!(listener.local_addr().unwrap().as_socket(), Some(socket.local));
        }
        let binds = [format!("127.0.0.1:{port}"), format!("[::1]:{port}")];
        let binds: Vec<&str> = binds.iter().map(String::as_str).collect();
        let second = open_group(&config(&binds, true)).unwrap();
        assert_eq!(second.sockets[1].local, first.sockets[1].local);
        assert_eq!(second.listeners.len(), 2);
    }

    #[test]
    fn a_second_owner_of_the_port_is_refused() {
        let first = open_group(&config(&["127.0.0.1:0"], false)).unwrap();
        let bind = first.sockets[0].local.to_string();
        let error = open_group(&config(&[&bind], false)).err().unwrap();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        drop(first);
        open_group(&config(&[&bind], false)).unwrap();
    }

    #[test]
    fn a_stranger_on_the_tcp_port_is_found_out() {
        let stranger = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let bind = stranger.local_addr().unwrap().to_string();
        let error = open_group(&config(&[&bind], false)).err().unwrap();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        let without = DriverConfig { tcp_connections: 0, ..config(&[&bind], false) };
        assert!(open_group(&without).unwrap().listeners.is_empty());
    }

    #[test]
    fn two_addresses_of_one_family_or_with_two_ports_are_refused() {
        for binds in [&["127.0.0.1:0", "127.0.0.2:0"][..], &["127.0.0.1:1", "[::1]:2"], &[]] {
            let error = open_group(&config(binds, false)).err().unwrap();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        }
    }
}
