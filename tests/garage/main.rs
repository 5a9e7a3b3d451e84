//! regc on a registry in a bucket of Garage, a server that checks signatures: Debian's docker-registry 2.8.2 writing through
//! its driver, skopeo pushing and pulling, and the registry's own collection beside regc's.
//!
//!     .ci/garage

use std::collections::BTreeSet;
use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::ops::ControlFlow;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use regc_core::Config;
use regc_core::registry::config::Driver;
use regc_core::storage::ReadStorage;
use regc_core::storage::bucket::BucketStorage;
use regc_testkit::bucket::{Fate, Proxy, free_address};
use regc_testkit::oci_layout::{LayerSpec, OciLayout};
use regc_testkit::peer::{self, PeerRegistry};
use tempfile::TempDir;

const KEY: &str = "GK31c2f218a2e44f485b94239e";
const SECRET: &str = "b892c0665f0ada8a4755dae98baa3b133590e11dae3bcc1f9d769d67f16c3835";

/// A server with one bucket. It is stopped when this is dropped.
struct Garage {
    process: Child,
    address: SocketAddr,
    _directory: TempDir,
}

impl Garage {
    fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (address, between_nodes) = (free_address(), free_address());
        let path = directory.path().display();
        let config = format!(
            "metadata_dir = \"{path}/meta\"\ndata_dir = \"{path}/data\"\ndb_engine = \"sqlite\"\nreplication_factor = 1\n\
             rpc_bind_addr = \"{between_nodes}\"\nrpc_secret = \"{SECRET}\"\n\
             [s3_api]\ns3_region = \"garage\"\napi_bind_addr = \"{address}\"\n"
        );
        fs::write(directory.path().join("garage.toml"), config).unwrap();
        let program = std::env::var_os("GARAGE").unwrap_or_else(|| "garage".into());
        let process = Command::new(program)
            .arg("-c")
            .arg(directory.path().join("garage.toml"))
            .args(["server", "--single-node", "--default-bucket"])
            .env("GARAGE_DEFAULT_ACCESS_KEY", KEY)
            .env("GARAGE_DEFAULT_SECRET_KEY", SECRET)
            .env("GARAGE_DEFAULT_BUCKET", "registry")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("garage cannot be started ({error}): run .ci/garage, which builds it"));
        let garage = Self { process, address, _directory: directory };
        let deadline = Instant::now() + Duration::from_secs(60);
        while TcpStream::connect(address).is_err() {
            assert!(Instant::now() < deadline, "garage does not answer");
            sleep(Duration::from_millis(100));
        }
        // It listens before the bucket is there.
        sleep(Duration::from_secs(3));
        garage
    }
}

impl Drop for Garage {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

fn config(address: SocketAddr, root: &str, secret: &str) -> String {
    format!(
        "version: 0.1\nlog: {{level: error}}\nstorage:\n  delete: {{enabled: true}}\n  s3:\n    region: garage\n    \
         regionendpoint: http://{address}\n    bucket: registry\n    rootdirectory: /{root}\n    accesskey: {KEY}\n    \
         secretkey: {secret}\n"
    )
}

/// Runs regc, and returns whether it succeeds, with what it prints as errors.
fn regc(arguments: &[&str], config: &str) -> (bool, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_regc"))
        .args(arguments)
        .args(["--config", config])
        .env("XDG_CACHE_HOME", Path::new(config).parent().unwrap())
        .output()
        .unwrap();
    (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
}

/// Returns the keys below a root of the bucket.
fn keys(address: SocketAddr, root: &str) -> BTreeSet<String> {
    let config = Config::parse(&config(address, root, SECRET), []).unwrap();
    let Driver::S3(s3) = &config.driver else { panic!("it is S3") };
    let mut keys = BTreeSet::new();
    let add = &mut |object: regc_core::storage::Object<'_>| {
        keys.insert(object.key.to_owned());
        ControlFlow::Continue(())
    };
    BucketStorage::s3(s3).unwrap().whole().walk("", add).unwrap();
    keys
}

/// Pushes images, and deletes some of them through the API.
fn fill(registry: &PeerRegistry, layout: &Path) {
    for number in 0..20 {
        registry.push(layout, &format!("image-{number}"), &format!("team/app{}:v{number}", number % 3), "oci");
    }
    registry.push(layout, "index", "other:multi", "oci");
    for number in [0, 7, 14] {
        let repository = format!("team/app{}", number % 3);
        registry.delete(&repository, &registry.digest(&repository, &format!("v{number}")));
    }
}

#[test]
fn gc_leaves_what_garbage_collect_leaves_on_a_server_that_checks_signatures() {
    let garage = Garage::start();
    let directory = tempfile::tempdir().unwrap();
    let mut layout = OciLayout::create(directory.path().join("images"));
    let base = LayerSpec { name: "base", bytes: 100_000 };
    let names: Vec<String> = (0..20).map(|number| format!("layer-{number}")).collect();
    for (number, name) in names.iter().enumerate() {
        layout.image(&format!("image-{number}"), "amd64", &[base, LayerSpec { name, bytes: 50_000 }]);
    }
    layout.index("index", &[("amd64", &[base]), ("arm64", &[base])]);
    for root in ["theirs/", "ours/"] {
        let registry = PeerRegistry::start_with(&config(garage.address, root, SECRET));
        fill(&registry, layout.path());
        registry.stop();
    }
    sleep(Duration::from_millis(1100));
    assert_eq!(keys(garage.address, "theirs/"), keys(garage.address, "ours/"));

    let written = |name: &str, text: String| {
        let path = directory.path().join(name);
        fs::write(&path, text).unwrap();
        path.into_os_string().into_string().unwrap()
    };
    // A wrong secret is noticed: signatures are checked.
    let wrong = written("wrong.yml", config(garage.address, "ours/", &SECRET.replace('b', "c")));
    let (succeeds, stderr) = regc(&["ls"], &wrong);
    assert!(!succeeds && stderr.contains("403"), "{stderr}");

    let timed = |name: &str, root: &str, run: &dyn Fn(&str)| {
        let proxy = Proxy::start(garage.address, Duration::ZERO, |_, _| Fate::Pass);
        let path = written("config.yml", config(proxy.address(), root, SECRET) + "http: {addr: \"127.0.0.1:0\"}\n");
        let begin = Instant::now();
        run(&path);
        println!("| {name} | {:.2} s | {} requests |", begin.elapsed().as_secs_f64(), proxy.requests().len());
    };
    let theirs = |arguments: &'static [&'static str]| {
        move |path: &str| {
            let output = peer::garbage_collect(Path::new(path), arguments);
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        }
    };
    let ours = |arguments: &'static [&'static str]| {
        move |path: &str| {
            let (succeeds, stderr) = regc(arguments, path);
            assert!(succeeds, "{stderr}");
        }
    };
    timed("docker-registry garbage-collect --dry-run", "theirs/", &theirs(&["--dry-run"]));
    timed("regc gc --dry-run", "ours/", &ours(&["gc", "--dry-run"]));
    timed("docker-registry garbage-collect", "theirs/", &theirs(&[]));
    timed("regc gc", "ours/", &ours(&["gc"]));
    timed("regc verify --content", "ours/", &ours(&["verify", "--content"]));

    let blobs = |root: &str| -> BTreeSet<String> {
        keys(garage.address, root).into_iter().filter(|key| key.contains("/blobs/")).collect()
    };
    assert_eq!(blobs("ours/"), blobs("theirs/"));
    assert!(keys(garage.address, "ours/").iter().all(|key| !key.contains(".regc")), "the marker is gone");
    let registry = PeerRegistry::start_with(&config(garage.address, "ours/", SECRET));
    for number in (0..20).filter(|number| number % 7 != 0) {
        registry.pull(&format!("team/app{}:v{number}", number % 3), tempfile::tempdir().unwrap().path());
    }
    registry.pull("other:multi", tempfile::tempdir().unwrap().path());
}
