//! Whether a registry is running.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use crate::registry::config::{Listener, Place};

/// How long to wait for an answer.
const PATIENCE: Duration = Duration::from_secs(1);

/// How much of an answer is read, in bytes: its headers.
const MAX_ANSWER_BYTES: u64 = 16 << 10;

/// What accepts connections at a registry's address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// No program.
    Nobody,
    /// A registry, or a server that speaks TLS or wants a login, as registries do.
    Registry,
    /// A server that may be a registry, and its answer: none in time, or that it cannot serve now.
    Unclear(String),
    /// Another web server, by its name or the first line of its answer.
    Other(String),
}

/// Determines what accepts connections at the registry's configured address, or on the loopback interface if that
/// address stands for all addresses of the machine. Takes at most a second.
///
/// Fails if the address cannot be parsed or resolved. Does not see a registry in a container with a network of its
/// own.
pub fn answers(listener: &Listener) -> io::Result<Answer> {
    let listener = listener.clone();
    // Resolving a name or connecting to a socket may block forever, and takes no timeout.
    let (answer, asked) = mpsc::channel();
    thread::spawn(move || answer.send(ask(&listener)));
    asked.recv_timeout(PATIENCE).unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

fn ask(Listener { place, prefix }: &Listener) -> io::Result<Answer> {
    match place {
        Place::Unix(path) => {
            let stream = UnixStream::connect(path);
            stream.iter().try_for_each(|stream| stream.set_read_timeout(Some(PATIENCE / 2)))?;
            identify(stream, prefix)
        }
        Place::Tcp(address) => {
            let mut found = Ok(Answer::Nobody);
            for address in addresses(address)? {
                let stream = TcpStream::connect_timeout(&address, PATIENCE / 4);
                stream.iter().try_for_each(|stream| stream.set_read_timeout(Some(PATIENCE / 2)))?;
                match identify(stream, prefix) {
                    Ok(Answer::Nobody) => {}
                    Ok(answer) => return Ok(answer),
                    error => found = error,
                }
            }
            found
        }
    }
}

/// Identifies what accepted a connection. A refused one means no program; any other failure says nothing.
fn identify(stream: io::Result<impl Read + Write>, prefix: &str) -> io::Result<Answer> {
    use io::ErrorKind::{AddrNotAvailable, ConnectionRefused, NetworkUnreachable, NotFound};
    match stream {
        Ok(stream) => Ok(answer_of(stream, prefix)),
        Err(error) if matches!(error.kind(), ConnectionRefused | NotFound | AddrNotAvailable | NetworkUnreachable) => {
            Ok(Answer::Nobody)
        }
        Err(error) => Err(error),
    }
}

/// Requests what every registry answers with a header of its own, whether it requires a login or not.
fn answer_of(mut stream: impl Read + Write, prefix: &str) -> Answer {
    let request =
        format!("GET {}/v2/ HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", prefix.trim_end_matches('/'));
    let mut answer = Vec::new();
    // What arrived before a timeout or the end of the connection counts.
    let sent = stream.write_all(request.as_bytes());
    sent.and_then(|()| stream.take(MAX_ANSWER_BYTES).read_to_end(&mut answer)).ok();
    let answer = String::from_utf8_lossy(&answer);
    let (status, headers) = answer.split_once("\r\n").unwrap_or((&answer, ""));
    let header = |name: &str| {
        let lines = headers.lines().take_while(|line| !line.is_empty()).filter_map(|line| line.split_once(':'));
        lines.clone().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    };
    let code = status.strip_prefix("HTTP/").and_then(|rest| rest.split(' ').nth(1)).unwrap_or_default();
    let is_registry = match code {
        "401" => header("WWW-Authenticate").is_some(),
        // The answer of a server that expects TLS, in HTTP or in TLS.
        "400" => true,
        "" => !answer.is_empty(),
        _ => false,
    };
    if is_registry || header("Docker-Distribution-Api-Version").is_some() {
        return Answer::Registry;
    }
    match code {
        "" => Answer::Unclear("does not answer in time".to_owned()),
        code if code.starts_with('5') => Answer::Unclear(format!("answers \"{status}\"")),
        _ => Answer::Other(header("Server").unwrap_or(status).to_owned()),
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

    fn at(address: impl Into<String>) -> Listener {
        Listener { place: Place::Tcp(address.into()), prefix: String::new() }
    }

    /// Starts a server that gives this answer to the first request, and returns that request.
    fn server(answer: &'static str) -> (Listener, thread::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let served = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 1024];
            let length = stream.read(&mut request).unwrap();
            stream.write_all(answer.as_bytes()).unwrap();
            String::from_utf8_lossy(&request[..length]).into_owned()
        });
        (Listener { prefix: "/hub/".into(), ..at(address) }, served)
    }

    #[test]
    fn probe_reports_silent_server_as_unclear() {
        let unclear = Answer::Unclear("does not answer in time".into());
        for bound in ["127.0.0.1:0", "[::1]:0"] {
            let listener = TcpListener::bind(bound).unwrap();
            let port = listener.local_addr().unwrap().port();
            let (all, one) = (format!(":{port}"), bound.replace(":0", &format!(":{port}")));
            for address in [all, one] {
                assert_eq!(answers(&at(address.clone())).unwrap(), unclear, "{address}");
            }
        }
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("socket");
        let listener = Listener { place: Place::Unix(socket.clone()), prefix: String::new() };
        assert_eq!(answers(&listener).unwrap(), Answer::Nobody);
        let _listener = UnixListener::bind(&socket).unwrap();
        assert_eq!(answers(&listener).unwrap(), unclear);
        let (listener, served) = server("HTTP/1.1 503 Service Unavailable\r\n\r\n");
        assert_eq!(answers(&listener).unwrap(), Answer::Unclear("answers \"HTTP/1.1 503 Service Unavailable\"".into()));
        served.join().unwrap();
    }

    #[test]
    fn probe_distinguishes_registry_from_other_servers() {
        let registries = [
            "HTTP/1.1 200 OK\r\ndocker-distribution-api-version: registry/2.0\r\n\r\n{}",
            "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Bearer realm=\"https://auth\"\r\n\r\n",
            "HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n",
            "\u{15}\u{3}\u{1}",
        ];
        for answer in registries {
            let (listener, served) = server(answer);
            assert_eq!(answers(&listener).unwrap(), Answer::Registry, "{answer}");
            assert!(served.join().unwrap().starts_with("GET /hub/v2/ HTTP/1.1\r\n"));
        }
        let others = [
            ("HTTP/1.1 302 Found\r\nServer: nginx\r\nLocation: /webman\r\n\r\n", "nginx"),
            ("HTTP/1.1 404 Not Found\r\n\r\nDocker-Distribution-Api-Version: none", "HTTP/1.1 404 Not Found"),
        ];
        for (answer, name) in others {
            let (listener, served) = server(answer);
            assert_eq!(answers(&listener).unwrap(), Answer::Other(name.to_owned()));
            served.join().unwrap();
        }
    }

    #[test]
    fn probe_reports_closed_port_as_nobody() {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        assert_eq!(answers(&at(format!("0.0.0.0:{port}"))).unwrap(), Answer::Nobody);
        assert!(answers(&at("5000")).is_err());
    }
}
