//! Sockets to accept on: one a worker and address, so that the kernel spreads connections without a lock between them.
//!
//! `SO_REUSEPORT` lets *any* process of the same user join an address, silently: two ecosystems on one machine would
//! get each other's requests at random. So the first socket of an address is bound without it, which the kernel refuses
//! if anybody listens there, and gets the option only then. Of two edges that start at once, exactly one wins.

use std::io;
use std::net::{SocketAddr, TcpListener};

use socket2::{Domain, Protocol, Socket, Type};

/// Connections that wait to be accepted, for each socket; the kernel caps it at `net.core.somaxconn`.
pub(crate) const BACKLOG: u32 = 4_096;

/// Binds `count` sockets to one address. With port 0, the first one's port is everyone's.
///
/// # Errors
/// `AddrInUse` if any other socket listens there.
pub(crate) fn bind(address: SocketAddr, count: usize) -> io::Result<Vec<TcpListener>> {
    let first = socket(address)?;
    first.bind(&address.into())?;
    first.set_reuse_port(true)?;
    first.listen(backlog())?;
    let first = TcpListener::from(first);
    let address = first.local_addr()?;
    let mut sockets = vec![first];
    for _ in 1..count {
        sockets.push(another(address)?);
    }
    Ok(sockets)
}

/// Sockets that were taken over, and further ones of the same address until there are `count`.
pub(crate) fn complete(mut sockets: Vec<TcpListener>, count: usize) -> io::Result<Vec<TcpListener>> {
    let Some(first) = sockets.first() else { return Err(io::ErrorKind::InvalidInput.into()) };
    let address = first.local_addr()?;
    for socket in &sockets {
        socket.set_nonblocking(true)?;
    }
    while sockets.len() < count {
        sockets.push(another(address)?);
    }
    Ok(sockets)
}

/// One more socket of an address that is ours already.
fn another(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = socket(address)?;
    socket.set_reuse_port(true)?;
    socket.bind(&address.into())?;
    socket.listen(backlog())?;
    Ok(socket.into())
}

fn socket(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // Connections of an earlier process in TIME_WAIT must not keep the port.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

fn backlog() -> i32 {
    i32::try_from(BACKLOG).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

    #[test]
    fn workers_share_one_address() {
        let sockets = bind(ANY, 4).unwrap();
        let address = sockets[0].local_addr().unwrap();
        assert!(sockets.iter().all(|socket| socket.local_addr().unwrap() == address));
        std::net::TcpStream::connect(address).unwrap();
    }

    #[test]
    fn an_address_that_another_edge_serves_is_refused() {
        let others = bind(ANY, 2).unwrap();
        let error = bind(others[0].local_addr().unwrap(), 2).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    }

    #[test]
    fn an_address_that_another_program_serves_is_refused() {
        let other = TcpListener::bind(ANY).unwrap();
        assert_eq!(bind(other.local_addr().unwrap(), 1).unwrap_err().kind(), io::ErrorKind::AddrInUse);
    }

    #[test]
    fn an_address_is_free_again_once_its_sockets_are_closed() {
        let sockets = bind(ANY, 2).unwrap();
        let address = sockets[0].local_addr().unwrap();
        let client = std::net::TcpStream::connect(address).unwrap();
        drop((client, sockets));
        bind(address, 2).unwrap();
    }
}
