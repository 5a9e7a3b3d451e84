//! A proxy in front of a server, which counts, delays and spoils requests.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::thread::{sleep, spawn};
use std::time::Duration;

/// What a proxy makes of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is passed on, and so is the answer.
    Pass,
    /// It is not passed on; this is the answer: a status line such as `503 Slow Down`, and a body.
    Answer(&'static str, String),
    /// It is passed on, and the answer is changed: what is left is replaced by what is right.
    Replace(&'static str, &'static str),
    /// It is passed on, and the head of the answer is changed so.
    ReplaceHead(&'static str, &'static str),
    /// It is passed on, and the connection is closed after so many bytes of the answer.
    Cut(usize),
    /// It is passed on as a request for the whole object, whatever range it is for.
    Whole,
}

/// Decides about each request, by its number from 0 and its first line: `GET /bucket?… HTTP/1.1`.
type Decide = dyn Fn(usize, &str) -> Fate + Send + Sync;

/// A server that passes requests on to another one.
pub struct Proxy {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<String>>>,
    is_over: Arc<AtomicBool>,
}

impl Proxy {
    /// Starts a proxy in front of a server, which delays every answer.
    pub fn start(
        target: SocketAddr,
        delay: Duration,
        decide: impl Fn(usize, &str) -> Fate + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("there is a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let (requests, is_over) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let (noted, stop, decide): (_, _, Arc<Decide>) = (requests.clone(), is_over.clone(), Arc::new(decide));
        spawn(move || {
            for connection in listener.incoming() {
                if stop.load(Relaxed) {
                    return;
                }
                let (noted, decide) = (noted.clone(), decide.clone());
                // A client that is killed closes its end: there is no one to tell.
                spawn(move || {
                    connection.and_then(|connection| serve(connection, target, delay, &noted, &*decide)).ok()
                });
            }
        });
        Self { address, requests, is_over }
    }

    /// Returns where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the first lines of all requests so far.
    pub fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.is_over.store(true, Relaxed);
        // Wakes the thread that accepts connections.
        TcpStream::connect(self.address).ok();
    }
}

fn serve(
    mut client: TcpStream,
    target: SocketAddr,
    delay: Duration,
    noted: &Mutex<Vec<String>>,
    decide: &Decide,
) -> io::Result<()> {
    let request = read_request(&mut client)?;
    if request.is_empty() {
        return Ok(());
    }
    let line = String::from_utf8_lossy(&request).lines().next().unwrap_or_default().to_owned();
    let number = {
        let mut noted = noted.lock().unwrap();
        noted.push(line.clone());
        noted.len() - 1
    };
    let fate = decide(number, &line);
    sleep(delay);
    if let Fate::Answer(status, body) = fate {
        let length = body.len();
        write!(client, "HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}")?;
        return client.shutdown(Shutdown::Write);
    }
    let mut server = TcpStream::connect(target)?;
    let end = line.len() + 2;
    server.write_all(&request[..end])?;
    server.write_all(b"connection: close\r\n")?;
    match fate {
        Fate::Whole => server.write_all(&without_range(&request[end..]))?,
        _ => server.write_all(&request[end..])?,
    }
    let mut answer = Vec::new();
    // A server that answers before it has read all of the request resets the connection.
    server.read_to_end(&mut answer).or_else(|error| if answer.is_empty() { Err(error) } else { Ok(0) })?;
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").map_or(0, |at| at + 4);
    match fate {
        Fate::Replace(left, right) => {
            let body = String::from_utf8_lossy(&without_chunks(&answer, end)).replace(left, right);
            let length = body.len();
            write!(client, "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}")?;
        }
        Fate::ReplaceHead(left, right) => {
            client.write_all(String::from_utf8_lossy(&answer[..end]).replace(left, right).as_bytes())?;
            client.write_all(&answer[end..])?;
        }
        Fate::Cut(bytes) => client.write_all(&answer[..answer.len().min(bytes)])?,
        _ => client.write_all(&answer)?,
    }
    client.shutdown(Shutdown::Write)
}

/// Returns an answer's body, which begins at `end`, in one piece.
fn without_chunks(answer: &[u8], end: usize) -> Vec<u8> {
    let head = String::from_utf8_lossy(&answer[..end]).to_ascii_lowercase();
    let mut rest = &answer[end..];
    if !head.contains("transfer-encoding: chunked") {
        return rest.to_vec();
    }
    let mut body = Vec::new();
    while let Some(line) = rest.windows(2).position(|two| two == b"\r\n") {
        let length = usize::from_str_radix(&String::from_utf8_lossy(&rest[..line]), 16).unwrap_or(0);
        if length == 0 {
            break;
        }
        body.extend_from_slice(&rest[line + 2..line + 2 + length]);
        rest = &rest[line + 2 + length + 2..];
    }
    body
}

/// Returns a request's headers without the range.
fn without_range(headers: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(headers).into_owned();
    let lines = text.split_inclusive("\r\n").filter(|line| !line.to_ascii_lowercase().starts_with("range:"));
    lines.collect::<String>().into_bytes()
}

/// Reads a request with its body.
fn read_request(client: &mut TcpStream) -> io::Result<Vec<u8>> {
    let (mut request, mut part) = (Vec::new(), [0; 64 << 10]);
    loop {
        let length = client.read(&mut part)?;
        request.extend_from_slice(&part[..length]);
        let Some(end) = request.windows(4).position(|four| four == b"\r\n\r\n") else {
            if length == 0 {
                return Ok(Vec::new());
            }
            continue;
        };
        let head = String::from_utf8_lossy(&request[..end]).to_ascii_lowercase();
        let body = head.lines().find_map(|line| line.strip_prefix("content-length:"));
        let body: usize = body.and_then(|length| length.trim().parse().ok()).unwrap_or(0);
        if request.len() >= end + 4 + body {
            return Ok(request);
        }
        if length == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}
