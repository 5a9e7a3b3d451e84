//! Tests of reading configurations.

use super::environment::apply;
use super::*;

fn parse(text: &str, environment: &[(&str, &str)]) -> Result<Config, Error> {
    Config::parse(text, environment.iter().map(|(name, value)| (name.to_string(), value.to_string())))
}

fn root(text: &str, environment: &[(&str, &str)]) -> String {
    match parse(text, environment).unwrap().driver {
        Driver::Filesystem { root } => root.display().to_string(),
        other => panic!("{other:?}"),
    }
}

const DEBIAN: &str = "
version: 0.1
log:
  fields:
    service: registry
storage:
  cache:
    blobdescriptor: inmemory
  filesystem:
    rootdirectory: /var/lib/docker-registry
  delete:
    enabled: true
  maintenance:
    readonly:
      enabled: true
http:
  addr: :5000
auth:
  htpasswd:
    realm: basic-realm
    path: /etc/docker/registry
";

#[test]
fn debian_configuration_is_parsed() {
    assert_eq!(root(DEBIAN, &[]), "/var/lib/docker-registry");
    assert_eq!(parse(DEBIAN, &[]).unwrap().metadata, Metadata::Storage);
}

#[test]
fn short_forms_defaults_and_anchors_are_parsed() {
    assert_eq!(parse("version: 0.1\nstorage: inmemory", &[]).unwrap().driver, Driver::InMemory);
    assert_eq!(root("version: 0.1\nstorage: filesystem", &[]), DEFAULT_ROOT_DIRECTORY);
    assert_eq!(root("version: 0.1\nstorage:\n  filesystem:", &[]), DEFAULT_ROOT_DIRECTORY);
    assert_eq!(root("version: '0.1'\nstorage: {filesystem: {rootdirectory: './12'}}", &[]), "./12");
    let merged = "
version: 0.1
x: &fs
  filesystem: {rootdirectory: /merged}
storage:
  <<: *fs
  delete: {enabled: true}
";
    assert_eq!(root(merged, &[]), "/merged");
    let s3 = parse("version: 0.1\nstorage: {s3aws: {bucket: b, region: r}}", &[]).unwrap();
    assert!(matches!(s3.driver, Driver::S3(s3) if s3.bucket == "b"));
    let swift = parse("version: 0.1\nstorage: {swift: {container: c}}", &[]).unwrap();
    assert_eq!(swift.driver, Driver::Other("swift".into()));
}

#[test]
fn config_refuses_what_registry_refuses() {
    for (text, expected) in [
        ("", "not a mapping"),
        ("storage: inmemory", "no version"),
        ("version: 0.2\nstorage: inmemory", "\"0.2\""),
        ("version: 0.1", "no storage driver"),
        ("version: 0.1\nstorage: {cache: {}}", "no storage driver"),
        ("version: 0.1\nstorage: [a]", "neither"),
        ("version: 0.1\nstorage: {inmemory: , filesystem: }", "more than one"),
        ("version: 0.1\n  storage: {", "not valid YAML"),
        ("version: 0.1\nstorage: {filesystem: /srv}", "not a mapping"),
        ("version: 0.1\nstorage: {filesystem: {rootdirectory: }}", "not a string; if it is a path"),
        ("version: 0.1\nstorage: {filesystem: {rootdirectory: ''}}", "empty"),
        ("version: 0.1\nstorage: {filesystem: {rootdirectory: 0755}}", "reads it as 493; put it in quotes"),
        ("version: 0.1\nstorage: {filesystem: {rootdirectory: yes}}", "reads it as true"),
    ] {
        let error = parse(text, &[]).unwrap_err().to_string();
        assert!(error.contains(expected), "{text:?}: {error}");
    }
}

#[test]
fn environment_overrides_the_file() {
    const ROOT: &str = "REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY";
    assert_eq!(root(DEBIAN, &[(ROOT, "/data")]), "/data");
    assert_eq!(root("version: 0.1\nstorage:\n  filesystem:", &[(ROOT, "/data")]), "/data");
    assert_eq!(root("version: 0.1", &[("REGISTRY_STORAGE", "filesystem")]), DEFAULT_ROOT_DIRECTORY);
    // The more specific variable is applied last, in whatever order they are passed.
    assert_eq!(root(DEBIAN, &[(ROOT, "/b"), ("REGISTRY_STORAGE", "{filesystem: {rootdirectory: /a}}")]), "/b");
    assert_eq!(root(DEBIAN, &[("REGISTRY_STORAGE_FILESYSTEM", "{rootdirectory: /c}")]), "/c");
    // Two drivers, as for the registry.
    assert!(parse("version: 0.1\nstorage: {s3: {}}", &[(ROOT, "/data")]).is_err());
    // What is not a key of the configuration is ignored, whatever it holds.
    assert_eq!(root(DEBIAN, &[("REGISTRY_PORT_5000_TCP", "{"), ("PATH", "{")]), "/var/lib/docker-registry");
    assert!(matches!(parse(DEBIAN, &[(ROOT, "{")]), Err(Error::Environment { .. })));
    for value in ["", "~", "12"] {
        assert!(parse(DEBIAN, &[(ROOT, value)]).is_err(), "never the default root: {value:?}");
    }
    assert!(parse(DEBIAN, &[("REGISTRY_STORAGE_FILESYSTEM", "/data")]).is_err());
}

#[test]
fn the_environment_creates_deep_mappings_but_does_not_change_those_of_the_file() {
    let mut document: Mapping = serde_yaml::from_str("storage: {maintenance: {readonly: {enabled: true}}}").unwrap();
    let readonly = [("REGISTRY_STORAGE_MAINTENANCE_READONLY_ENABLED".to_owned(), "false".to_owned())];
    apply(&mut document, readonly.clone()).ok();
    assert_eq!(document["storage"]["maintenance"]["readonly"]["enabled"], Value::Bool(true));
    let mut document: Mapping = serde_yaml::from_str("storage: {maintenance: }").unwrap();
    apply(&mut document, readonly).ok();
    assert_eq!(document["storage"]["maintenance"]["readonly"]["enabled"], Value::Bool(false));
}

#[test]
fn config_says_what_may_be_missing() {
    let absences = |extra: &str, environment: &[(&str, &str)]| {
        let Absences { content, platforms } =
            parse(&format!("version: 0.1\nstorage: inmemory\n{extra}"), environment).unwrap().absences;
        (content, platforms)
    };
    let remote = [("REGISTRY_PROXY_REMOTEURL", "https://registry-1.docker.io")];
    assert_eq!(absences("", &[]), (false, false));
    assert_eq!(absences("proxy: {remoteurl: 'https://registry-1.docker.io'}", &[]), (true, false));
    assert_eq!(absences("proxy: {remoteurl: ''}", &[]), (false, false));
    assert_eq!(absences("", &remote), (true, false));
    for (platforms, may_be_missing) in [("none", true), ("list", true), ("all", false)] {
        let section = format!("validation: {{manifests: {{indexes: {{platforms: {platforms}}}}}}}");
        assert_eq!(absences(&section, &[]), (false, may_be_missing), "{platforms}");
    }
}

#[test]
fn config_detects_external_metadata() {
    let metadata = |extra: &str| parse(&format!("version: 0.1\nstorage: inmemory\n{extra}"), &[]).unwrap().metadata;
    assert_eq!(metadata("database: {enabled: true, host: db}"), Metadata::GitLabDatabase);
    assert_eq!(metadata("database: {enabled: 'true'}"), Metadata::GitLabDatabase);
    for text in ["openshift: {version: 1.0}", "openshift:", "middleware: {registry: [{name: openshift}]}"] {
        assert_eq!(metadata(text), Metadata::OpenShift, "{text}");
    }
    assert_eq!(metadata("middleware: {registry: [{name: other}], repository: [{name: openshift}]}"), Metadata::Storage);
    assert_eq!(metadata("database: {enabled: yes}"), Metadata::GitLabDatabase);
    assert_eq!(metadata("database: {enabled: prefer}"), Metadata::GitLabPrefersDatabase);
    assert_eq!(metadata("database: {enabled: false}"), Metadata::Storage);
    assert_eq!(metadata("auth: {token: {issuer: harbor-token-issuer, realm: x}}"), Metadata::Harbor);
    assert_eq!(metadata("auth: {htpasswd: {realm: harbor-registry-basic-realm}}"), Metadata::Harbor);
    assert_eq!(metadata("auth: {token: {issuer: other}}"), Metadata::Storage);
    let environment = [("REGISTRY_DATABASE_ENABLED", "true")];
    assert_eq!(parse(DEBIAN, &environment).unwrap().metadata, Metadata::GitLabDatabase);
    let environment = [("REGISTRY_AUTH", "token"), ("REGISTRY_AUTH_TOKEN_ISSUER", "harbor-token-issuer")];
    assert_eq!(parse(DEBIAN, &environment).unwrap().metadata, Metadata::Harbor);
}

#[test]
fn scalars_are_read_as_the_registry_reads_them() {
    let read = |value: &str| parse(&format!("version: 0.1\nstorage: {{filesystem: {{rootdirectory: {value}}}}}"), &[]);
    for text in ["0755", "yes", "1:30", "12", "1_000", ".5", "true", "~", "0o17", "1e3"] {
        for quoted in [format!("'{text}'"), format!("\"{text}\"")] {
            let Driver::Filesystem { root } = read(&quoted).unwrap().driver else { panic!() };
            assert_eq!(root.to_str(), Some(text));
        }
    }
    for plain in ["1:30", "2001-01-01", "12abc", "-app", "+x", "1.2.3", "1:99", "_1", "0790/x"] {
        let Driver::Filesystem { root } = read(plain).unwrap().driver else { panic!() };
        assert_eq!(root.to_str(), Some(plain));
    }
    for (plain, as_read) in [
        ("0755", "493"),
        ("yes", "true"),
        ("NO", "false"),
        ("1_000", "1000"),
        (".5", "0.5"),
        ("0790", "790"),
        ("0o17", "15"),
        ("0x1f", "31"),
        ("0b11", "3"),
        ("-0755", "-493"),
        ("1.", "1"),
    ] {
        let error = read(plain).unwrap_err().to_string();
        assert!(error.contains(&format!("reads it as {as_read}")), "{plain}: {error}");
    }
    let quoted_key = "version: 0.1\nstorage:\n  filesystem:\n    'rootdirectory':   '0755'  # a comment\n";
    assert_eq!(root(quoted_key, &[]), "0755");
    assert!(parse("version: 0.1\nstorage: {filesystem: {rootdirectory: 0755}}\nx: '0755'", &[]).is_err());
    let anchored = "version: 0.1\nx: &root '0755'\nstorage:\n  filesystem:\n    rootdirectory: *root\n";
    assert_eq!(root(anchored, &[]), "0755");
    const ROOT: &str = "REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY";
    assert_eq!(root(DEBIAN, &[(ROOT, "'0755'")]), "0755");
    assert!(matches!(parse(DEBIAN, &[(ROOT, "0755")]), Err(Error::Environment { name, .. }) if name == ROOT));
}

#[test]
fn windows_line_endings_and_byte_order_marks_are_accepted() {
    let windows = DEBIAN.trim_start().replace('\n', "\r\n");
    for text in [windows.clone(), format!("\u{feff}{windows}"), format!("\u{feff}---\r\n{windows}")] {
        assert_eq!(parse(&text, &[]).unwrap(), parse(DEBIAN, &[]).unwrap());
    }
    let quoted = "\u{feff}version: 0.1\r\nstorage:\r\n  filesystem:\r\n    rootdirectory: '0755'\r\n";
    assert_eq!(root(quoted, &[]), "0755");
}

#[test]
fn only_the_first_document_counts() {
    assert_eq!(root(&format!("{DEBIAN}---\nstorage: inmemory\n"), &[]), "/var/lib/docker-registry");
    assert!(parse("---\n---\nversion: 0.1\nstorage: inmemory\n", &[]).is_err());
}

#[test]
fn config_error_names_environment_variable() {
    let blamed = |text: &str, environment: &[(&str, &str)]| match parse(text, environment) {
        Err(Error::Environment { name, reason }) => (name, reason),
        other => panic!("{environment:?}: {other:?}"),
    };
    for (name, value) in [
        ("REGISTRY_STORAGE_PORT", "tcp://10.0.0.1:5000"),
        ("REGISTRY_STORAGE_PORT_5000_TCP", "tcp://10.0.0.1:5000"),
        ("REGISTRY_STORAGE_PORT_5000_TCP_ADDR", "10.0.0.1"),
        ("REGISTRY_STORAGE_SERVICE_HOST", "10.0.0.1"),
        ("REGISTRY_STORAGE_SERVICE_PORT", "5000"),
        ("REGISTRY_STORAGE_S3_BUCKET", "b"),
        ("REGISTRY_STORAGE", "[a]"),
        ("REGISTRY_STORAGE", ""),
        ("REGISTRY_STORAGE", "/srv"),
        ("REGISTRY_STORAGE_CACHE", "tcp://10.0.0.1:5000"),
        ("REGISTRY_STORAGE_FILESYSTEM", "/data"),
        ("REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY", ""),
        ("REGISTRY_HTTP", "{"),
    ] {
        assert_eq!(blamed(DEBIAN, &[(name, value)]).0, name, "{value:?}");
    }
    // Kubernetes sets its variables together. The other drivers, which are intended, are not to blame.
    let service = [
        ("REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY", "/data"),
        ("REGISTRY_STORAGE_S3_BUCKET", "b"),
        ("REGISTRY_STORAGE_SERVICE_HOST", "10.0.0.1"),
    ];
    assert_eq!(blamed("version: 0.1", &service).0, "REGISTRY_STORAGE_SERVICE_HOST");
    assert_eq!(blamed("version: 0.1", &service[2..]).0, "REGISTRY_STORAGE_SERVICE_HOST");
    // What the registry ignores is ignored.
    let other = [("REGISTRY_PORT", "tcp://1"), ("REGISTRY_SERVICE_HOST", "1"), ("REGISTRY_HTTP_PORT", "tcp://1")];
    assert_eq!(parse(DEBIAN, &other).unwrap(), parse(DEBIAN, &[]).unwrap());
    // A file that is wrong by itself is to blame, whatever variables are set.
    let wrong = "version: 0.1\nstorage: {inmemory: , filesystem: }";
    assert!(matches!(parse(wrong, &[("REGISTRY_HTTP_ADDR", ":1")]), Err(Error::Config(_))));
}

#[test]
fn cache_driver_is_read_from_the_configuration() {
    let cache = |text: &str, environment: &[(&str, &str)]| {
        parse(&format!("version: 0.1\nstorage: {{inmemory: {{}}, cache: {text}"), environment).unwrap().cache
    };
    let redis = |addresses: &[&str], db: &str| Cache::Redis {
        addresses: addresses.iter().map(|address| address.to_string()).collect(),
        db: db.to_owned(),
    };
    assert_eq!(cache("{}}", &[]), Cache::None);
    assert_eq!(parse(DEBIAN, &[]).unwrap().cache, Cache::InMemory);
    assert_eq!(cache("{layerinfo: inmemory}}", &[]), Cache::InMemory);
    assert_eq!(cache("{blobdescriptor: redis}}", &[]), redis(&[], "0"));
    let two = "{blobdescriptor: redis}}\nredis: {addr: 'cache:6379', db: 3}";
    assert_eq!(cache(two, &[]), redis(&["cache:6379"], "3"));
    assert_eq!(cache(two, &[("REGISTRY_REDIS_DB", "5")]), redis(&["cache:6379"], "5"));
    let three = "{blobdescriptor: redis}}\nredis: {addrs: ['a:1', 'b:2']}";
    assert_eq!(cache(three, &[]), redis(&["a:1", "b:2"], "0"));
    assert_eq!(cache("{}}", &[("REGISTRY_STORAGE_CACHE_BLOBDESCRIPTOR", "redis")]), redis(&[], "0"));
}
