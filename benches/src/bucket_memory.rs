//! How much memory a dry run takes for each further blob of a bucket. The bucket's server makes up its listings: a registry of
//! one image, and as many blobs that nothing refers to as are wanted.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::thread::spawn;

use regc_testkit::TestRegistry;
use regc_testkit::bucket::config;

use crate::process;

/// Collect in a bucket of few blobs and in one of many, and report the memory for each further blob
#[derive(clap::Args)]
pub struct Args {
    /// The binary of regc
    #[arg(long, default_value = "target/release/regc")]
    regc: PathBuf,
    /// How many blobs the smaller bucket has
    #[arg(long, default_value_t = 100_000)]
    few: u64,
    /// How many the larger one has
    #[arg(long, default_value_t = 3_100_000)]
    many: u64,
}

pub fn run(args: &Args) -> io::Result<()> {
    println!("| dry run | peak of memory | for each further blob |\n|---|---|---|");
    let few = peak(args, args.few)?;
    println!("| {} blobs | {} MiB | |", args.few, few >> 20);
    let many = peak(args, args.many)?;
    let each = many.saturating_sub(few) as f64 / (args.many - args.few) as f64;
    println!("| {} blobs | {} MiB | {each:.0} B |", args.many, many >> 20);
    Ok(())
}

/// Returns the most memory that a dry run takes with so many blobs, in bytes.
fn peak(args: &Args, blobs: u64) -> io::Result<u64> {
    let mut registry = TestRegistry::new();
    registry.image("app:v1").layers(["one"]).push();
    let address = serve(Bucket { registry, blobs })?;
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("config.yml");
    std::fs::write(&path, config(address, "registry", "", ""))?;
    let cost = process::run(Command::new(&args.regc).args(["gc", "--dry-run", "--quiet"]).arg(&path))?;
    Ok(cost.peak_bytes)
}

/// What the server has: a registry, and blobs whose digests are evenly spread.
struct Bucket {
    registry: TestRegistry,
    blobs: u64,
}

impl Bucket {
    fn blob(&self, number: u64) -> String {
        let hex = format!("{:016x}{number:048x}", u64::MAX / self.blobs * number);
        format!("docker/registry/v2/blobs/sha256/{}/{hex}/data", &hex[..2])
    }

    /// Returns up to `limit` keys that begin with a prefix and are greater than another key, with their lengths.
    fn page(&self, prefix: &str, after: &str, limit: usize) -> Vec<(String, usize)> {
        let begin = if after > prefix { after } else { prefix };
        let (mut first, mut end) = (0, self.blobs);
        while first < end {
            let middle = first + (end - first) / 2;
            if *self.blob(middle) <= *begin { first = middle + 1 } else { end = middle }
        }
        let made_up = (first..self.blobs).map(|number| (self.blob(number), 7));
        let made_up = made_up.take_while(|(key, _)| key.starts_with(prefix)).take(limit);
        let real = self.registry.keys().filter(|key| key.starts_with(prefix) && **key > *begin);
        let real = real.map(|key| (key.to_owned(), self.registry.get(key).map_or(0, <[u8]>::len)));
        let keys: BTreeMap<String, usize> = real.chain(made_up).collect();
        keys.into_iter().take(limit).collect()
    }

    fn listing(&self, query: &str) -> String {
        let decoded = |value: &str| value.replace("%2F", "/");
        let value =
            |name: &str| query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('=')).map(decoded);
        let after = value("continuation-token").or_else(|| value("start-after")).unwrap_or_default();
        let limit = value("max-keys").and_then(|limit| limit.parse().ok()).unwrap_or(1000);
        let mut keys = self.page(&value("prefix").unwrap_or_default(), &after, limit + 1);
        let is_truncated = keys.len() > limit;
        keys.truncate(limit);
        let mut text = format!("<ListBucketResult><IsTruncated>{is_truncated}</IsTruncated>");
        if let Some((last, _)) = keys.last().filter(|_| is_truncated) {
            text += &format!("<NextContinuationToken>{last}</NextContinuationToken>");
        }
        for (key, bytes) in keys {
            text += &format!(
                "<Contents><Key>{key}</Key><LastModified>2026-01-01T00:00:00Z</LastModified><Size>{bytes}</Size></Contents>"
            );
        }
        text + "</ListBucketResult>"
    }

    /// Returns the status and the body of the answer to a request for a path and query.
    fn answer(&self, path: &str) -> (&'static str, Vec<u8>) {
        match path.split_once('?') {
            Some((_, query)) if query.contains("list-type=2") => ("200 OK", self.listing(query).into_bytes()),
            Some((_, query)) if query.contains("uploads=") => {
                let none = "<ListMultipartUploadsResult><IsTruncated>false</IsTruncated></ListMultipartUploadsResult>";
                ("200 OK", none.into())
            }
            Some(_) => ("501 Not Implemented", Vec::new()),
            None => match self.registry.get(path.trim_start_matches("/registry/")) {
                Some(content) => ("200 OK", content.to_vec()),
                None => ("404 Not Found", "<Error><Code>NoSuchKey</Code></Error>".into()),
            },
        }
    }
}

/// Serves a bucket on a free port of the loopback interface, until the process ends.
fn serve(bucket: Bucket) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let (address, bucket) = (listener.local_addr()?, Arc::new(bucket));
    spawn(move || {
        for connection in listener.incoming().map_while(Result::ok) {
            let bucket = bucket.clone();
            // A client that closes its end is done.
            spawn(move || converse(&connection, &bucket).ok());
        }
    });
    Ok(address)
}

fn converse(connection: &TcpStream, bucket: &Bucket) -> io::Result<()> {
    let mut reader = BufReader::new(connection);
    loop {
        let (mut first, mut length) = (String::new(), 0);
        if reader.read_line(&mut first)? == 0 {
            return Ok(());
        }
        loop {
            let mut line = String::new();
            reader.read_line(&mut line)?;
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap_or(0);
            }
            if line.trim().is_empty() {
                break;
            }
        }
        io::copy(&mut reader.by_ref().take(length), &mut io::sink())?;
        let (status, body) = bucket.answer(first.split(' ').nth(1).unwrap_or_default());
        let mut connection = connection;
        write!(connection, "HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n", body.len())?;
        connection.write_all(&body)?;
    }
}
