//! The real programs: `docker-registry` as a server and as a collector, and `skopeo` as a client.
//!
//! Both are Debian packages. A test that needs one fails if it is missing.

use std::fs::{self, Permissions};
use std::io::ErrorKind;
use std::net::TcpListener;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime};

/// A registry that serves a storage root on a free port of the loopback interface. It is stopped when this is
/// dropped.
pub struct PeerRegistry {
    process: Child,
    port: u16,
}

/// The answer of a registry.
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The `Location` header.
    pub location: Option<String>,
    /// The `Docker-Content-Digest` header.
    pub digest: Option<String>,
    /// The body.
    pub body: Vec<u8>,
}

/// The header that identifies a registry, since another one may have taken its port: the directory of its
/// configuration.
const NAME: &str = "X-Registry";

/// Writes the configuration of a registry at `root` to `config.yml` in `directory`, and returns its path.
pub fn write_config(directory: &Path, root: &Path, port: u16) -> PathBuf {
    let path = directory.join("config.yml");
    let text = format!(
        "version: 0.1\nlog:\n  level: error\nstorage:\n  delete:\n    enabled: true\n  filesystem:\n    \
         rootdirectory: {}\nhttp:\n  addr: 127.0.0.1:{port}\n  headers:\n    {NAME}: [{name}]\n",
        root.display(),
        name = directory.display()
    );
    fs::write(&path, text).expect("a configuration can be written");
    path
}

/// Runs `docker-registry garbage-collect` on the store that `config` describes.
pub fn garbage_collect(config: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new("docker-registry");
    run(command.arg("garbage-collect").args(arguments).arg(config).env_remove("AWS_CA_BUNDLE"))
}

/// Runs `skopeo`, and panics if it fails.
pub fn skopeo(arguments: &[&str]) {
    let output = run(Command::new("skopeo").arg("--insecure-policy").args(arguments));
    assert!(output.status.success(), "skopeo {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

fn run(command: &mut Command) -> Output {
    command.output().unwrap_or_else(|error| missing(command.get_program().to_str().unwrap_or_default(), &error))
}

fn missing(program: &str, error: &std::io::Error) -> ! {
    match error.kind() {
        ErrorKind::NotFound => panic!(
            "{program} is not installed, and this test is worth nothing without it: \
             `apt-get install docker-registry skopeo`, or run .ci/run"
        ),
        _ => panic!("{program} cannot be started: {error}"),
    }
}

impl PeerRegistry {
    /// Starts a registry on the storage at `root`, and waits until it answers.
    pub fn start(root: &Path) -> Self {
        Self::start_at(root, || Command::new("docker-registry"))
    }

    /// The same as another user, whose only group has the same number. Only root can do that.
    pub fn start_as(user: u32, root: &Path) -> Self {
        Self::start_at(root, || {
            let mut command = Command::new("setpriv");
            command.args([&format!("--reuid={user}"), &format!("--regid={user}"), "--clear-groups", "docker-registry"]);
            command
        })
    }

    /// Starts a registry with this configuration, which has no section `http`.
    pub fn start_with(config: &str) -> Self {
        let write = |directory: &Path, port| {
            let (path, name) = (directory.join("config.yml"), directory.display());
            let http = format!("http: {{addr: \"127.0.0.1:{port}\", headers: {{{NAME}: [{name}]}}}}\n");
            fs::write(&path, format!("{config}{http}")).expect("a configuration can be written");
            path
        };
        Self::start_configured(write, || Command::new("docker-registry"))
    }

    fn start_at(root: &Path, program: impl Fn() -> Command) -> Self {
        Self::start_configured(|directory, port| write_config(directory, root, port), program)
    }

    fn start_configured(configure: impl Fn(&Path, u16) -> PathBuf, program: impl Fn() -> Command) -> Self {
        // Another process may take the port before the registry starts, so this is retried.
        for _ in 0..10 {
            let listener = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
            let port = listener.local_addr().expect("a bound socket has an address").port();
            drop(listener);
            let directory = tempfile::tempdir().expect("a temporary directory can be made");
            let config = configure(directory.path(), port);
            fs::set_permissions(directory.path(), Permissions::from_mode(0o755)).expect("it is ours");
            let process = program()
                .arg("serve")
                .arg(&config)
                // With it, the registry's driver for S3 refuses to start.
                .env_remove("AWS_CA_BUNDLE")
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap_or_else(|error| missing("docker-registry", &error));
            let mut registry = Self { process, port };
            let deadline = Instant::now() + Duration::from_secs(20);
            while registry.process.try_wait().expect("a child can be waited for").is_none() {
                if registry.answers_as(directory.path()) {
                    return registry;
                }
                assert!(Instant::now() < deadline, "docker-registry does not answer");
                sleep(Duration::from_millis(20));
            }
        }
        panic!("docker-registry cannot be started");
    }

    /// Whether this registry answers, and not another one that has taken the same port meanwhile.
    fn answers_as(&self, directory: &Path) -> bool {
        let answer = ureq::get(format!("http://{}/v2/", self.address())).call();
        answer.is_ok_and(|answer| {
            answer.headers().get(NAME).is_some_and(|name| name.as_bytes() == directory.as_os_str().as_bytes())
        })
    }

    /// Stops the registry.
    pub fn stop(self) {}

    /// Returns `127.0.0.1:port`.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Returns the name of `reference`, `repository:tag`, for skopeo.
    pub fn image(&self, reference: &str) -> String {
        format!("docker://{}/{reference}", self.address())
    }

    /// Pushes all platforms of the image `name` in `layout` as `reference`. `format` is `oci` or `v2s2`.
    pub fn push(&self, layout: &Path, name: &str, reference: &str, format: &str) {
        let source = format!("oci:{}:{name}", layout.display());
        skopeo(&["copy", "--all", "--dest-tls-verify=false", "--format", format, &source, &self.image(reference)]);
    }

    /// Pulls all platforms of `reference` into a directory, unchanged.
    pub fn pull(&self, reference: &str, directory: &Path) {
        let target = format!("dir:{}", directory.display());
        skopeo(&["copy", "--all", "--src-tls-verify=false", &self.image(reference), &target]);
    }

    /// GETs a path.
    pub fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[])
    }

    /// GETs a path; `None` if the registry closes the connection before its answer is complete.
    pub fn try_get(&self, path: &str) -> Option<Answer> {
        self.try_send("GET", path, "application/octet-stream", &[]).ok()
    }

    /// Sends a request with a body. A path may be a whole URL of this registry.
    pub fn send(&self, method: &str, path: &str, body: &[u8]) -> Answer {
        self.send_as(method, path, "application/octet-stream", body)
    }

    /// Sends a request with a body of some media type.
    pub fn send_as(&self, method: &str, path: &str, media_type: &str, body: &[u8]) -> Answer {
        self.try_send(method, path, media_type, body).expect("the registry answers in full")
    }

    fn try_send(&self, method: &str, path: &str, media_type: &str, body: &[u8]) -> Result<Answer, ureq::Error> {
        const MANIFESTS: &str = "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json, \
             application/vnd.docker.distribution.manifest.v2+json, \
             application/vnd.docker.distribution.manifest.list.v2+json";
        let url = if path.starts_with('/') { format!("http://{}{path}", self.address()) } else { path.to_owned() };
        let request = ureq::http::Request::builder()
            .method(method)
            .uri(url)
            .header("accept", MANIFESTS)
            .header("content-type", media_type)
            .body(body)
            .expect("the request is well formed");
        let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
        let mut response = agent.run(request)?;
        let header = |name: &str| response.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
        Ok(Answer {
            status: response.status().as_u16(),
            location: header("location"),
            digest: header("docker-content-digest"),
            body: response.body_mut().read_to_vec()?,
        })
    }

    /// Returns the digest of the manifest that a tag names.
    pub fn digest(&self, repository: &str, tag: &str) -> String {
        let answer = self.get(&format!("/v2/{repository}/manifests/{tag}"));
        answer.digest.unwrap_or_else(|| panic!("{repository}:{tag}: {}", answer.status))
    }

    /// Deletes a manifest through the API.
    pub fn delete(&self, repository: &str, digest: &str) {
        assert_eq!(self.send("DELETE", &format!("/v2/{repository}/manifests/{digest}"), &[]).status, 202);
    }

    /// Begins an upload and sends the first part of it. Returns the location of the next part.
    pub fn begin_upload(&self, repository: &str, content: &[u8]) -> String {
        let begun = self.send("POST", &format!("/v2/{repository}/blobs/uploads/"), &[]);
        let location = begun.location.expect("an upload has a location");
        let sent = self.send("PATCH", &location, content);
        assert_eq!(sent.status, 202);
        sent.location.expect("an upload has a location")
    }

    /// Uploads a blob under a digest of any algorithm.
    pub fn upload(&self, repository: &str, digest: &str, content: &[u8]) {
        let location = self.begin_upload(repository, content);
        let separator = if location.contains('?') { '&' } else { '?' };
        assert_eq!(self.send("PUT", &format!("{location}{separator}digest={digest}"), &[]).status, 201);
    }
}

impl Drop for PeerRegistry {
    fn drop(&mut self) {
        // It may have exited already; then there is nothing to stop.
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

/// Makes an upload look as if it began in 2020, and has not been written to since.
pub fn make_upload_old(upload: &Path) {
    fs::write(upload.join("startedat"), "2020-01-01T00:00:00Z").unwrap();
    for key in crate::files_below(upload) {
        let begun = SystemTime::UNIX_EPOCH + Duration::from_secs(1_577_836_800);
        fs::File::open(upload.join(key)).unwrap().set_modified(begun).unwrap();
    }
}
