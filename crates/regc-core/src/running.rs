//! Whether a registry is running.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use crate::config::Listener;

/// How long an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(1);

/// Whether something takes connections where the configuration says that the registry does: at the address given, or, where
/// that stands for all addresses of the machine, on the loopback interface. It takes a second at most.
///
/// Fails if the address cannot be understood or looked up. A registry in a container with a network of its own is not
/// seen.
pub fn answers(listener: &Listener) -> io::Result<bool> {
    let listener = listener.clone();
    // Looking up a name or connecting to a socket may take for ever, and cannot be told not to.
    let (answer, asked) = mpsc::channel();
    thread::spawn(move || answer.send(ask(&listener)));
    asked.recv_timeout(PATIENCE).unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

fn ask(listener: &Listener) -> io::Result<bool> {
    match listener {
        Listener::Unix(path) => is_connected(UnixStream::connect(path).map(drop)),
        Listener::Tcp(address) => {
            let mut found = Ok(false);
            for address in addresses(address)? {
                match is_connected(TcpStream::connect_timeout(&address, PATIENCE / 4).map(drop)) {
                    Ok(true) => return Ok(true),
                    Ok(false) => {}
                    error => found = error,
                }
            }
            found
        }
    }
}

/// Nobody is there who refuses; whatever else fails does not tell.
fn is_connected(result: io::Result<()>) -> io::Result<bool> {
    use io::ErrorKind::{AddrNotAvailable, ConnectionRefused, NetworkUnreachable, NotFound};
    match result {
        Ok(()) => Ok(true),
        Err(error) if matches!(error.kind(), ConnectionRefused | NotFound | AddrNotAvailable | NetworkUnreachable) => {
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

fn addresses(address: &str) -> io::Result<Vec<SocketAddr>> {
    let (host, port) = address.rsplit_once(':').ok_or(io::ErrorKind::InvalidInput)?;
    let port = match port {
        "http" => 80,
        "https" => 443,
        port => port.parse().map_err(|_| io::ErrorKind::InvalidInput)?,
    };
    let loopback = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
    let host = host.trim_start_matches('[').trim_end_matches(']');
    if host.is_empty() || host.parse().is_ok_and(|address: IpAddr| address.is_unspecified()) {
        return Ok(loopback.map(|address| SocketAddr::new(address, port)).into());
    }
    Ok((host, port).to_socket_addrs()?.collect())
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn what_listens_answers() {
        for bound in ["127.0.0.1:0", "[::1]:0"] {
            let listener = TcpListener::bind(bound).unwrap();
            let port = listener.local_addr().unwrap().port();
            let (all, one) = (format!(":{port}"), bound.replace(":0", &format!(":{port}")));
            for address in [all, one] {
                assert!(answers(&Listener::Tcp(address.clone())).unwrap(), "{address}");
            }
        }
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("socket");
        assert!(!answers(&Listener::Unix(socket.clone())).unwrap());
        let _listener = UnixListener::bind(&socket).unwrap();
        assert!(answers(&Listener::Unix(socket)).unwrap());
    }

    #[test]
    fn what_does_not_listen_does_not_answer() {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        assert!(!answers(&Listener::Tcp(format!("0.0.0.0:{port}"))).unwrap());
        assert!(answers(&Listener::Tcp("5000".to_owned())).is_err());
    }
}
