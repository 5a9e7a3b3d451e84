//! A registry that caches in a real Redis: what it still believes to have after something was removed from its storage.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use redis::{Commands, Connection};
use regc_testkit::oci_layout::{LayerSpec, OciLayout};
use regc_testkit::peer::{self, PeerRegistry};
use regc_testkit::redis::RedisServer;
use serde_json::Value;

use crate::common::{Run, regc};

/// A store, the Redis of its registry, and images.
struct Setting {
    root: tempfile::TempDir,
    work: tempfile::TempDir,
    images: OciLayout,
    server: RedisServer,
}

const LAYER: LayerSpec<'static> = LayerSpec { name: "only here", bytes: 10_000 };
const BASE: LayerSpec<'static> = LayerSpec { name: "base", bytes: 10_000 };

impl Setting {
    fn new(arguments: &[&str]) -> Self {
        let (root, work) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let mut images = OciLayout::create(work.path().join("images"));
        images.image("gone", "amd64", &[BASE, LAYER]);
        images.image("stays", "amd64", &[BASE]);
        Self { root, work, images, server: RedisServer::start(arguments) }
    }

    /// Returns a configuration with this section on Redis.
    fn config(&self, redis: &str) -> String {
        format!(
            "version: 0.1\nlog: {{level: error}}\nstorage: {{delete: {{enabled: true}}, cache: {{blobdescriptor: redis}}, \
             filesystem: {{rootdirectory: {}}}}}\nredis: {{{redis}}}\n",
            self.root.path().display()
        )
    }

    /// Writes a configuration, and returns its path.
    fn written(&self, redis: &str) -> PathBuf {
        let path = self.work.path().join("config.yml");
        std::fs::write(&path, self.config(redis)).unwrap();
        path
    }

    /// Pushes both images, pulls them, so that all is cached, and deletes one. Returns its manifest.
    fn use_registry(&self, redis: &str) -> String {
        let registry = PeerRegistry::start_with(&self.config(redis));
        for name in ["gone", "stays"] {
            registry.push(self.images.path(), name, &format!("team/app:{name}"), "oci");
            registry.pull(&format!("team/app:{name}"), tempfile::tempdir().unwrap().path());
        }
        let manifest = registry.digest("team/app", "gone");
        registry.delete("team/app", &manifest);
        manifest
    }

    /// Pushes the deleted image again, and returns whether it can be pulled.
    fn can_be_pulled_after_push(&self, redis: &str) -> bool {
        let registry = PeerRegistry::start_with(&self.config(redis));
        registry.push(self.images.path(), "gone", "team/app:gone", "oci");
        let manifest: Value = serde_json::from_slice(&registry.get("/v2/team/app/manifests/gone").body).unwrap();
        // What the registry believes to have, it does not store: not even the manifest.
        let Some(layers) = manifest["layers"].as_array() else { return false };
        let blobs = layers.iter().chain([&manifest["config"]]).map(|blob| blob["digest"].as_str().unwrap());
        let mut answers = blobs.map(|blob| registry.try_get(&format!("/v2/team/app/blobs/{blob}")));
        answers.all(|answer| answer.is_some_and(|answer| answer.status == 200))
    }

    fn run(&self, redis: &str, arguments: &[&str]) -> Run {
        regc([arguments, &["--config", self.written(redis).to_str().unwrap()]].concat())
    }
}

/// Returns all keys, and of a set also its members.
fn contents(connection: &mut Connection) -> BTreeSet<String> {
    let mut contents = BTreeSet::new();
    for key in connection.keys::<_, Vec<String>>("*").unwrap() {
        if key.ends_with("::blobs") {
            let members: Vec<String> = connection.smembers(&key).unwrap();
            contents.extend(members.into_iter().map(|member| format!("{key} {member}")));
        } else {
            contents.insert(key);
        }
    }
    contents
}

fn connect(url: &str) -> Connection {
    redis::Client::open(url).unwrap().get_connection().unwrap()
}

fn last_line(run: &Run) -> Value {
    serde_json::from_str(run.stdout.lines().last().unwrap()).unwrap()
}

#[test]
fn image_pushed_after_a_collection_by_registry_cannot_be_pulled_until_cache_is_evicted() {
    let setting = Setting::new(&[]);
    let redis = format!("addr: '{}'", setting.server.address());
    setting.use_registry(&redis);
    let collected = peer::garbage_collect(&setting.written(&redis), &[]);
    assert!(collected.status.success(), "{}", String::from_utf8_lossy(&collected.stderr));
    assert!(!setting.can_be_pulled_after_push(&redis), "the registry does not believe to have what is gone");

    let planned = setting.run(&redis, &["cache", "evict", "--dry-run", "--json"]);
    assert_eq!((planned.code, &last_line(&planned)["evicted"]), (0, &Value::from(0)), "{}", planned.stderr);
    let stale = last_line(&planned)["stale"].as_u64().unwrap();
    assert!(stale >= 2, "the layer and the link to it: {}", planned.stdout);
    let evicted = setting.run(&redis, &["cache", "evict"]);
    assert_eq!(evicted.code, 0, "{}", evicted.stderr);
    assert!(evicted.stdout.contains(&format!("{stale} stale entries, removed")), "{}", evicted.stdout);
    assert!(setting.can_be_pulled_after_push(&redis));
    assert_eq!(last_line(&setting.run(&redis, &["cache", "evict", "--json"]))["stale"], 0);
}

#[test]
fn image_pushed_after_a_collection_by_regc_can_be_pulled() {
    let setting = Setting::new(&[]);
    let redis = format!("addr: '{}', db: 3", setting.server.address());
    setting.use_registry(&redis);
    let mut connection = connect(&format!("redis://{}/3", setting.server.address()));
    let before = contents(&mut connection);
    let () = connection.set("somebody's", "own").unwrap();
    let run = setting.run(&redis, &["gc", "--json"]);
    assert_eq!((run.code, &*run.stderr), (0, ""));
    let summary = last_line(&run);
    assert_eq!(summary["stale_cache"], Value::Null);

    // What is gone is what was removed, and nothing else.
    let removed = deleted(&run.stdout);
    let expected: BTreeSet<String> = before.difference(&removed).cloned().chain(["somebody's".to_owned()]).collect();
    assert_eq!(contents(&mut connection), expected);
    assert_eq!(summary["evicted"].as_u64().unwrap() as usize, before.intersection(&removed).count());
    assert!(before.intersection(&removed).count() >= 3, "{before:?}");
    assert!(setting.can_be_pulled_after_push(&redis));
}

/// Returns what the registry may have cached of what a run has deleted, as [`contents`] shows it.
fn deleted(lines: &str) -> BTreeSet<String> {
    let mut deleted = BTreeSet::new();
    for line in lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()) {
        let text = |key: &str| line[key].as_str().unwrap_or_default().to_owned();
        match &*text("type") {
            "blob" => drop(deleted.insert(format!("blobs::{}", text("digest")))),
            "layer_link" | "revision" => {
                let set = format!("repository::{}::blobs", text("repository"));
                deleted.extend([format!("{set}::{}", text("digest")), format!("{set} {}", text("digest"))]);
            }
            _ => {}
        }
    }
    deleted
}

#[test]
fn every_command_that_removes_evicts() {
    for arguments in [&["rm", "--yes", "team/app"][..], &["prune", "--yes", "--keep", "0"], &["gc", "--trash", "-m"]] {
        let setting = Setting::new(&[]);
        let redis = format!("addrs: ['{}']", setting.server.address());
        let two = format!("addr: '{}'", setting.server.address());
        setting.use_registry(&two);
        let run = setting.run(&redis, &[arguments, &["--json"]].concat());
        assert_eq!(run.code, 0, "{arguments:?}: {}", run.stderr);
        assert!(last_line(&run)["evicted"].as_u64().unwrap() > 0, "{arguments:?}");
        assert_eq!(last_line(&setting.run(&redis, &["cache", "evict", "--json"]))["stale"], 0, "{arguments:?}");
        assert!(setting.can_be_pulled_after_push(&two), "{arguments:?}");
    }
}

#[test]
fn collection_without_redis_ends_with_a_finding_and_the_cache_is_evicted_later() {
    for from_report in [true, false] {
        let setting = Setting::new(&[]);
        let redis = format!("addr: '{}'", setting.server.address());
        setting.use_registry(&redis);
        let run = setting.run("addr: '127.0.0.1:1'", &["gc", "--json"]);
        assert_eq!(run.code, 3, "{}", run.stderr);
        assert!(run.stderr.contains("regc cache evict") && run.stderr.contains("refused"), "{}", run.stderr);
        let summary = last_line(&run);
        assert_eq!((&summary["stale_cache"]["kind"], &summary["failures"]), (&"redis".into(), &0.into()));
        assert!(summary["removed"]["blobs"].as_u64().unwrap() > 0);
        let is_finding = |line: &&str| line.contains(r#""name":"stale_cache""#);
        assert_eq!(run.stdout.lines().filter(is_finding).count() as u64, summary["findings"].as_u64().unwrap());
        assert!(!setting.can_be_pulled_after_push(&redis));

        let config = setting.written(&redis);
        let arguments = ["cache", "evict", config.to_str().unwrap()];
        let evicted = match from_report {
            true => {
                let report = setting.work.path().join("run.jsonl");
                std::fs::write(&report, &run.stdout).unwrap();
                regc([&arguments[..], &["--from", report.to_str().unwrap()]].concat())
            }
            false => regc(arguments),
        };
        assert_eq!(evicted.code, 0, "{}", evicted.stderr);
        assert!(setting.can_be_pulled_after_push(&redis), "from the report: {from_report}");
    }
}

#[test]
fn password_user_and_encryption_are_those_of_the_configuration() {
    let certificates = tempfile::tempdir().unwrap();
    let path = |name: &str| certificates.path().join(name).to_str().unwrap().to_owned();
    certify(certificates.path());
    let port = regc_testkit::redis::free_port().to_string();
    let setting = Setting::new(&[
        "--requirepass",
        "secret",
        "--tls-port",
        &port,
        "--tls-cert-file",
        &path("server.pem"),
        "--tls-key-file",
        &path("server.key"),
        "--tls-ca-cert-file",
        &path("root.pem"),
        "--user",
        "cleaner",
        "on",
        ">other",
        "~*",
        "+@all",
    ]);
    let plain = format!("addr: '{}', password: secret", setting.server.address());
    setting.use_registry(&plain);
    let denied = setting.run(&format!("addr: '{}'", setting.server.address()), &["cache", "evict"]);
    assert_eq!(denied.code, 1, "{}", denied.stdout);
    assert!(denied.stderr.to_lowercase().contains("authentication"), "{}", denied.stderr);

    let tls = format!(
        "certificate: '{}', key: '{}', rootcas: ['{}']",
        path("client.pem"),
        path("client.key"),
        path("root.pem")
    );
    let untrusted = format!(
        "addrs: ['127.0.0.1:{port}'], password: secret, tls: {{certificate: '{0}', key: '{1}'}}",
        path("client.pem"),
        path("client.key")
    );
    let refused = setting.run(&untrusted, &["cache", "evict"]);
    assert_eq!(refused.code, 1, "an unknown certificate is trusted: {}", refused.stdout);
    let encrypted = format!("addrs: ['127.0.0.1:{port}'], username: cleaner, password: other, tls: {{{tls}}}");
    let run = setting.run(&encrypted, &["gc", "--json"]);
    assert_eq!((run.code, &*run.stderr), (0, ""));
    assert!(last_line(&run)["evicted"].as_u64().unwrap() > 0);
    assert!(setting.can_be_pulled_after_push(&plain));
}

/// Makes certificates of a root of their own for a server at 127.0.0.1 and for a client.
fn certify(directory: &Path) {
    let openssl = |arguments: &str| {
        let run = Command::new("openssl").args(arguments.split(' ')).current_dir(directory).output().unwrap_or_else(|error| {
            panic!("openssl cannot be started ({error}), and this test is worth nothing without it: `apt-get install openssl`")
        });
        assert!(run.status.success(), "{arguments}: {}", String::from_utf8_lossy(&run.stderr));
    };
    openssl(
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout root.key -out root.pem -subj /CN=root -days 30",
    );
    for name in ["server", "client"] {
        openssl(&format!(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout {name}.key -out {name}.pem -subj /CN={name} \
             -days 30 -CA root.pem -CAkey root.key -addext subjectAltName=IP:127.0.0.1 -addext basicConstraints=critical,CA:FALSE"
        ));
    }
}

#[test]
fn sentinels_say_where_the_server_is() {
    let setting = Setting::new(&[]);
    let sentinel = RedisServer::sentinel("primary", &setting.server);
    let plain = format!("addr: '{}'", setting.server.address());
    setting.use_registry(&plain);
    let named = |name: &str| format!("addrs: ['127.0.0.1:1', '{}'], mastername: {name}", sentinel.address());
    let unknown = setting.run(&named("another"), &["cache", "evict"]);
    assert!(unknown.code == 1 && unknown.stderr.contains("does not know another"), "{}", unknown.stderr);
    let run = setting.run(&named("primary"), &["gc", "--json"]);
    assert_eq!((run.code, &*run.stderr), (0, ""));
    assert!(last_line(&run)["evicted"].as_u64().unwrap() > 0);
    assert!(setting.can_be_pulled_after_push(&plain));
}

#[test]
fn all_nodes_of_a_cluster_are_evicted() {
    let setting = Setting::new(&[]);
    let plain = format!("addr: '{}'", setting.server.address());
    setting.use_registry(&plain);
    let cached = contents(&mut connect(&format!("redis://{}", setting.server.address())));
    let nodes = RedisServer::cluster();
    let urls = nodes.each_ref().map(|node| format!("redis://{}", node.address()));
    let client = redis::cluster::ClusterClient::new(urls.iter().map(String::as_str)).unwrap();
    let mut cluster = client.get_connection().unwrap();
    let mut fill = || {
        for entry in &cached {
            let () = match entry.split_once(' ') {
                Some((set, member)) => cluster.sadd(set, member).unwrap(),
                None => cluster.hset(entry, "digest", "kept").unwrap(),
            };
        }
    };
    let on_nodes = || urls.iter().flat_map(|url| contents(&mut connect(url))).collect::<BTreeSet<String>>();
    let clustered = format!("addrs: ['{}', '{}']", nodes[0].address(), nodes[1].address());
    fill();
    assert_eq!(on_nodes(), cached);
    let run = setting.run(&clustered, &["gc", "--json"]);
    assert_eq!((run.code, &*run.stderr), (0, ""));
    let left: BTreeSet<String> = cached.difference(&deleted(&run.stdout)).cloned().collect();
    assert_eq!(on_nodes(), left);
    assert!(left.len() < cached.len());

    // All that is stale is found again, on whichever node it is.
    fill();
    let run = setting.run(&clustered, &["cache", "evict", "--json"]);
    assert_eq!((run.code, &*run.stderr), (0, ""));
    assert_eq!(on_nodes(), left);
}

#[test]
fn key_of_another_type_in_a_cluster_is_left_alone_and_the_rest_is_evicted() {
    let setting = Setting::new(&[]);
    let plain = format!("addr: '{}'", setting.server.address());
    setting.use_registry(&plain);
    let cached = contents(&mut connect(&format!("redis://{}", setting.server.address())));
    let nodes = RedisServer::cluster();
    let urls = nodes.each_ref().map(|node| format!("redis://{}", node.address()));
    let client = redis::cluster::ClusterClient::new(urls.iter().map(String::as_str)).unwrap();
    let mut cluster = client.get_connection().unwrap();
    const FOREIGN: &str = "repository::team/app::blobs";
    for entry in &cached {
        let () = match entry.split_once(' ') {
            Some((FOREIGN, _)) => cluster.set(FOREIGN, "another's").unwrap(),
            Some((set, member)) => cluster.sadd(set, member).unwrap(),
            None => cluster.hset(entry, "digest", "kept").unwrap(),
        };
    }
    let clustered = format!("addrs: ['{}', '{}']", nodes[0].address(), nodes[1].address());
    let run = setting.run(&clustered, &["gc", "--json"]);
    assert_eq!((run.code, &*run.stderr), (0, ""));
    let gone = deleted(&run.stdout);
    let is_foreign = |entry: &&String| entry.starts_with(&format!("{FOREIGN} "));
    assert!(gone.iter().any(|entry| is_foreign(&entry)), "{gone:?}");
    let evicted = cached.intersection(&gone).filter(|entry| !is_foreign(entry)).count();
    assert_eq!(last_line(&run)["evicted"], evicted as u64);
    assert_eq!(cluster.get::<_, String>(FOREIGN).unwrap(), "another's");
}

#[test]
fn eviction_that_failed_is_made_up_for_by_the_next_run() {
    let setting = Setting::new(&[]);
    let (redis, dead) = (format!("addr: '{}'", setting.server.address()), "addr: '127.0.0.1:1'");
    setting.use_registry(&redis);
    assert_eq!(setting.run(dead, &["gc"]).code, 3);
    // Nothing is left to remove, and the cache still lists what was.
    for _ in 0..2 {
        let again = setting.run(dead, &["gc"]);
        assert!(again.code == 3 && again.stderr.contains("still lists"), "{}", again.stderr);
    }
    let planned = setting.run(&redis, &["gc", "--dry-run"]);
    assert!(planned.code == 0 && planned.stderr.contains("run `regc cache evict`"), "{}", planned.stderr);
    let done = setting.run(&redis, &["gc", "--json"]);
    assert_eq!((done.code, &*done.stderr), (0, ""));
    assert!(last_line(&done)["evicted"].as_u64().unwrap() > 0);
    assert!(setting.can_be_pulled_after_push(&redis));
    let after = setting.run(&redis, &["gc", "--json"]);
    assert_eq!((after.code, &last_line(&after)["evicted"], &*after.stderr), (0, &Value::from(0), ""));
    assert!(!setting.root.path().join(".regc/stale-cache").exists());
}

#[test]
fn key_of_another_type_is_left_alone() {
    let setting = Setting::new(&[]);
    let redis = format!("addr: '{}'", setting.server.address());
    setting.use_registry(&redis);
    let mut connection = connect(&format!("redis://{}", setting.server.address()));
    let () = connection.del("repository::team/app::blobs").unwrap();
    let () = connection.set("repository::team/app::blobs", "another's").unwrap();
    let run = setting.run(&redis, &["gc", "--json"]);
    assert_eq!((run.code, &*run.stderr), (0, ""));
    assert!(last_line(&run)["evicted"].as_u64().unwrap() > 0);
    assert_eq!(last_line(&setting.run(&redis, &["cache", "evict", "--json"]))["stale"], 0);
    assert_eq!(connection.get::<_, String>("repository::team/app::blobs").unwrap(), "another's");
}
