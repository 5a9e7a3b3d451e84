//! The nightly script: every way to run a registry, with programs that stand for systemd's, Docker's and Kubernetes'.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant, SystemTime};

use regc_testkit::{TestRegistry, blobs_below, files_below, layer};
use serde::Deserialize;
use serde_yaml::Value;

use crate::common::{Run, regc};

/// A registry, its configuration, and the programs that a night needs.
struct Night {
    root: tempfile::TempDir,
    work: tempfile::TempDir,
}

impl Night {
    fn new() -> Self {
        Self::of(&crate::registry())
    }

    /// Makes a running registry of which the policy keeps one image in each repository.
    fn of(registry: &TestRegistry) -> Self {
        let (root, work) = (registry.on_disk(), tempfile::tempdir().unwrap());
        let storage = format!("{{filesystem: {{rootdirectory: {}}}}}", root.path().display());
        crate::config(&work, &storage, "");
        let night = Self { root, work };
        night.write("retention.yml", "version: 1\nrules:\n  - {repositories: '**', keep: 1}\n");
        night.write("nightly.conf", "");
        night.write("running", "");
        night.write("calls", "");
        night
    }

    fn path(&self, name: &str) -> PathBuf {
        self.work.path().join(name)
    }

    fn write(&self, name: &str, content: &str) {
        fs::write(self.path(name), content).unwrap();
    }

    /// Returns the script, which has to clean this registry.
    fn script(&self) -> Command {
        self.script_in("sh")
    }

    /// Returns the script in a shell that is `sh` somewhere.
    fn script_in(&self, shell: &str) -> Command {
        let mut command = Command::new(shell);
        for (name, _) in std::env::vars_os() {
            if name.to_str().is_some_and(|name| name.starts_with("REG")) {
                command.env_remove(name);
            }
        }
        let programs = crate::project().join("tests/programs").canonicalize().unwrap();
        command
            .arg(crate::project().join("docs/nightly/regc-nightly"))
            .arg(self.path("nightly.conf"))
            .env("PATH", format!("{}:{}", programs.display(), std::env::var("PATH").unwrap()))
            .env("REGISTRY_CONFIGURATION_PATH", self.path("config.yml"))
            .env("REGC", env!("CARGO_BIN_EXE_regc"))
            .env("STAND_INS", self.work.path());
        command
    }

    fn run(&self, variables: &[(&str, &str)]) -> Run {
        let output = self.script().envs(variables.iter().copied()).output().unwrap();
        Run {
            code: output.status.code().expect("the script is not killed"),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Runs the script on a registry that runs this way.
    fn run_as(&self, kind: &Kind) -> Run {
        self.run(&[("REGISTRY", kind.registry), ("REGC_STOP_SECONDS", "1")])
    }

    /// Returns what was called since the last time.
    fn calls(&self) -> Vec<String> {
        let calls = fs::read_to_string(self.path("calls")).unwrap();
        self.write("calls", "");
        calls.lines().map(str::to_owned).collect()
    }

    fn is_running(&self) -> bool {
        self.path("running").exists()
    }

    fn tags(&self) -> Vec<String> {
        let run = regc(["ls", "--tags-only", "--root", self.root.path().to_str().unwrap()]);
        run.stdout.lines().map(str::to_owned).collect()
    }
}

/// A way to run a registry, and how it is asked for its state, stopped and started.
struct Kind {
    registry: &'static str,
    asks: &'static [&'static str],
    stops: &'static [&'static str],
    starts: &'static str,
}

const KINDS: [Kind; 4] = [
    Kind {
        registry: "systemd:docker-registry",
        asks: &["systemctl is-active docker-registry"],
        stops: &["systemctl stop docker-registry"],
        starts: "systemctl start docker-registry",
    },
    Kind {
        registry: "docker:registry",
        asks: &["docker inspect --type container --format {{.State.Running}} registry"],
        stops: &["docker stop registry"],
        starts: "docker start registry",
    },
    Kind {
        registry: "compose:/srv/my registry/compose.yml:registry",
        asks: &[
            "docker compose --file /srv/my registry/compose.yml ps --quiet --status running --status restarting registry",
        ],
        stops: &["docker compose --file /srv/my registry/compose.yml stop registry"],
        starts: "docker compose --file /srv/my registry/compose.yml start registry",
    },
    Kind {
        registry: "kubernetes:infra/registry",
        asks: &[
            "kubectl --namespace infra get deployment registry --output \
             go-template={{range $key, $value := .spec.selector.matchLabels}},{{$key}}={{$value}}{{end}}",
            "kubectl --namespace infra get deployment registry --output jsonpath={.metadata.annotations.regc/replicas}",
            "kubectl --namespace infra get deployment registry --output jsonpath={.spec.replicas}",
        ],
        stops: &[
            "kubectl --namespace infra patch deployment registry --patch \
             {\"metadata\":{\"annotations\":{\"regc/replicas\":\"2\"}},\"spec\":{\"replicas\":0}}",
            PODS,
            PODS,
        ],
        starts: "kubectl --namespace infra patch deployment registry --patch \
                 {\"metadata\":{\"annotations\":{\"regc/replicas\":null}},\"spec\":{\"replicas\":2}}",
    },
];

const PODS: &str = "kubectl --namespace infra get pods --selector app=registry --output name \
                    --field-selector status.phase!=Succeeded,status.phase!=Failed";

/// Returns a registry with two images of which the policy keeps one.
fn two_images() -> TestRegistry {
    let mut registry = crate::registry();
    registry.image("ci/app:v1").layers(["base", "ci old"]).push();
    registry.image("ci/app:v2").layers(["base", "ci new"]).push();
    registry
}

#[test]
fn registry_is_stopped_cleaned_and_started_whatever_runs_it() {
    for kind in &KINDS {
        let night = Night::of(&two_images());
        let run = night.run_as(kind);
        assert_eq!((run.code, run.stdout.as_str(), run.stderr.as_str()), (0, "", ""), "{}", kind.registry);
        let user = night.root.path().metadata().unwrap().uid();
        let work = [format!("regc prune as {user}"), format!("regc gc as {user}")];
        let expected: Vec<&str> =
            [kind.asks, kind.stops, &work.each_ref().map(String::as_str), &[kind.starts]].concat();
        assert_eq!(night.calls(), expected);
        assert_eq!(night.tags().len(), 3, "{:?}", night.tags());
        assert!(!blobs_below(night.root.path()).contains(&layer("deleted")), "{}", kind.registry);
        assert!(night.is_running() && !night.path("annotation").exists());
    }
}

#[test]
fn registry_that_was_not_running_is_cleaned_and_not_started() {
    for kind in &KINDS {
        let night = Night::of(&two_images());
        fs::remove_file(night.path("running")).unwrap();
        let run = night.run_as(kind);
        assert_eq!((run.code, run.stdout.as_str(), run.stderr.as_str()), (0, "", ""), "{}", kind.registry);
        assert!(!night.is_running() && !night.calls().contains(&kind.starts.to_owned()), "{}", kind.registry);
        assert_eq!(night.tags().len(), 3);
    }
}

#[test]
fn nothing_is_removed_if_the_registry_cannot_be_stopped() {
    for kind in &KINDS {
        let night = Night::of(&two_images());
        night.write("cannot-stop", "");
        let before = files_below(night.root.path());
        let run = night.run_as(kind);
        assert_eq!((run.code, run.stdout.as_str()), (1, ""), "{}", kind.registry);
        assert!(run.stderr.contains("does not stop") && run.stderr.contains("nothing was removed"), "{}", run.stderr);
        let calls = night.calls();
        assert_eq!(calls.last().unwrap(), kind.starts, "it may have stopped all the same");
        assert!(!calls.iter().any(|call| call.starts_with("regc")), "{calls:?}");
        assert_eq!(files_below(night.root.path()), before);
    }
}

#[test]
fn registry_that_cannot_be_started_is_reported() {
    for kind in &KINDS {
        let night = Night::new();
        night.write("cannot-start", "");
        let run = night.run_as(kind);
        assert_eq!((run.code, run.stdout.as_str()), (1, ""), "{}", kind.registry);
        assert!(run.stderr.contains("does not start"), "{}", run.stderr);
        let loud = format!("THE REGISTRY IS DOWN: start it by hand, {}\n", kind.registry);
        assert!(run.stderr.ends_with(&loud), "{}", run.stderr);
    }
}

#[test]
fn damage_is_printed_and_the_registry_started() {
    let mut registry = two_images();
    registry.manifest("hurt:v1", "{");
    for kind in &KINDS {
        let night = Night::of(&registry);
        let run = night.run_as(kind);
        assert_eq!(run.code, 3, "{}", run.stderr);
        assert!((run.stdout + &run.stderr).contains("is damaged"));
        assert!(night.is_running());
        assert_eq!(night.tags().iter().filter(|tag| tag.starts_with("ci/")).count(), 1);
    }
}

#[test]
fn failure_counts_more_than_damage_and_the_registry_is_started() {
    let mut registry = two_images();
    registry.manifest("hurt:v1", "{");
    let night = Night::of(&registry);
    night.write("retention.yml", "version: 1\nrules:\n  - {repositories: '**', kep: 1}\n");
    let run = night.run(&[]);
    assert_eq!(run.code, 1);
    assert!(run.stderr.contains("kep") && (run.stdout + &run.stderr).contains("is damaged"), "{}", run.stderr);
    assert!(night.is_running());

    for (prune, gc, code) in [(3, 0, 3), (0, 3, 3), (3, 1, 1), (1, 3, 1), (1, 0, 1), (0, 1, 1), (3, 143, 143)] {
        night.write("prune-exits", &prune.to_string());
        night.write("gc-exits", &gc.to_string());
        for shell in ["sh", "bash"] {
            let status = night.script_in(shell).status().unwrap();
            assert_eq!(status.code(), Some(code), "in {shell}, prune has exited with {prune}, gc with {gc}");
            assert!(night.is_running());
        }
    }
}

#[test]
fn interrupted_night_starts_the_registry_after_regc_has_ended() {
    let signals = [("TERM", 143), ("HUP", 129), ("INT", 130)];
    for ((signal, code), shell) in signals.into_iter().flat_map(|signal| [(signal, "sh"), (signal, "bash")]) {
        let night = Night::new();
        night.write("hold", "");
        let mut script = night.script_in(shell).process_group(0).spawn().unwrap();
        wait_for(&night.path("held"));
        assert!(!night.is_running());
        // As a terminal does it: to regc as well, whose stand-in ignores it.
        let target = if signal == "INT" { format!("-{}", script.id()) } else { script.id().to_string() };
        assert!(Command::new("kill").args(["-s", signal, "--", &target]).status().unwrap().success());
        if signal == "INT" {
            std::thread::sleep(Duration::from_millis(300));
            assert!(!night.is_running(), "regc has not ended");
            fs::remove_file(night.path("hold")).unwrap();
        }
        assert_eq!(script.wait().unwrap().code(), Some(code), "{signal} in {shell}");
        let calls = night.calls();
        assert_eq!(
            calls[calls.len() - 2..],
            ["regc gc ends", "systemctl start docker-registry"],
            "{signal} in {shell}"
        );
    }
}

fn wait_for(path: &Path) {
    let started = Instant::now();
    while !path.exists() {
        assert!(started.elapsed() < Duration::from_secs(60), "{} does not appear", path.display());
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn regc_runs_as_the_owner_of_the_storage() {
    for (name, owner, has_setpriv) in
        [("no name", 1234, true), ("nobody", 65534, true), ("nobody, by su", 65534, false)]
    {
        let night = Night::of(&two_images());
        let chown = |path: &Path| {
            let owner = format!("{owner}:{owner}");
            Command::new("chown").args(["-R", &owner]).arg(path).status().is_ok_and(|status| status.success())
        };
        assert!(chown(night.root.path()), "this test needs root");
        // What manifests refer to is only remembered of those that are not new.
        for key in files_below(night.root.path()) {
            let file = fs::File::open(night.root.path().join(key)).unwrap();
            file.set_modified(SystemTime::now() - Duration::from_secs(3600)).unwrap();
        }
        // Where the script is, the owner may have no access.
        crate::copy_regc(&night.path("real"));
        for program in ["regc", "systemctl", "registry.sh"] {
            fs::copy(crate::project().join("tests/programs").join(program), night.path(program)).unwrap();
        }
        if !has_setpriv {
            fs::copy("/bin/false", night.path("setpriv")).unwrap();
        }
        fs::set_permissions(night.work.path(), fs::Permissions::from_mode(0o755)).unwrap();
        fs::set_permissions(night.path("calls"), fs::Permissions::from_mode(0o666)).unwrap();
        let path = format!("{}:{}", night.work.path().display(), std::env::var("PATH").unwrap());
        let real = night.path("real");
        let variables = [("PATH", path.as_str()), ("REGC", real.to_str().unwrap())];

        let run = night.run(&variables);
        assert_eq!((run.code, run.stdout.as_str(), run.stderr.as_str()), (0, "", ""), "{name}");
        let calls = night.calls();
        assert!(calls.contains(&format!("regc prune as {owner}")) && calls.contains(&format!("regc gc as {owner}")));
        assert_eq!(night.tags().len(), 3, "the policy was read");
        let written = night.root.path().join(".regc");
        for key in files_below(&written) {
            let found = written.join(&key).metadata().unwrap();
            assert_eq!((found.uid(), found.gid()), (owner, owner), "{key}");
        }
        assert!(!files_below(&written).is_empty());

        // What an earlier run as root has left.
        assert!(Command::new("chown").args(["-R", "0:0"]).arg(&written).status().unwrap().success());
        let run = night.run(&variables);
        assert_eq!(run.code, 1);
        assert!(run.stderr.contains(&format!("chown -R {owner} {}", written.display())), "{}", run.stderr);
        assert!(night.calls().is_empty() && night.is_running());
        let run = night.run(&[&variables[..], &[("REGC_USER", "root")]].concat());
        assert_eq!(run.code, 0, "{}", run.stderr);
        assert!(night.calls().contains(&"regc gc as 0".to_owned()));
    }
}

#[test]
fn first_night_with_the_samples_as_they_are_deletes_no_tag() {
    let night = Night::of(&two_images());
    let before = night.tags();
    for sample in ["nightly.conf", "retention.yml"] {
        fs::copy(crate::project().join("docs/nightly").join(sample), night.path(sample)).unwrap();
    }
    for has_policy in [true, false] {
        let run = night.run(&[]);
        assert_eq!((run.code, run.stdout.as_str(), run.stderr.as_str()), (0, "", ""), "{has_policy}");
        assert_eq!(night.tags(), before);
        assert!(!blobs_below(night.root.path()).contains(&layer("deleted")), "garbage is collected");
        let calls = night.calls();
        assert_eq!(calls.iter().any(|call| call.starts_with("regc prune")), has_policy, "{calls:?}");
        assert_eq!(calls.last().unwrap(), "systemctl start docker-registry");
        let _ = fs::remove_file(night.path("retention.yml"));
    }
}

#[test]
fn rules_and_settings_in_the_samples_are_understood() {
    let night = Night::of(&two_images());
    let sample = |name| fs::read_to_string(crate::project().join("docs/nightly").join(name)).unwrap();
    let policy = sample("retention.yml").replace("  # - ", "  - ").replace("  #   ", "    ");
    assert_eq!(policy.matches("\n  - repositories: ").count(), 3, "{policy}");
    night.write("retention.yml", &policy);
    let policy = night.path("retention.yml");
    let root = night.root.path().to_str().unwrap();
    let run = regc(["prune", "--dry-run", "--policy", policy.to_str().unwrap(), "--root", root]);
    assert_eq!((run.code, run.stderr.as_str()), (0, ""));

    let script = sample("regc-nightly");
    for line in sample("nightly.conf").lines().filter(|line| line.starts_with("#REG")) {
        let (name, value) = line[1..].split_once('=').unwrap();
        assert!(script.contains(&format!("${{{name}")), "the script does not use {name}");
        let kind = value.split_once(':').map_or("", |(kind, _)| kind);
        assert!(name != "REGISTRY" || script.contains(&format!("\n{kind}:*")), "{kind}");
    }
}

#[test]
fn settings_come_from_the_file_and_from_the_environment() {
    let night = Night::of(&two_images());
    let policy = night.path("elsewhere.yml");
    fs::rename(night.path("retention.yml"), &policy).unwrap();
    let run = night.run(&[("REGISTRY_SERVICE", "distribution"), ("REGC_POLICY", policy.to_str().unwrap())]);
    assert_eq!((run.code, night.tags().len()), (0, 3), "{}", run.stderr);
    assert_eq!(night.calls().last().unwrap(), "systemctl start distribution");

    let night = Night::of(&two_images());
    let root = night.root.path().display();
    night.write("nightly.conf", &format!("REGISTRY=docker:registry\nREGC_ROOT='{root}'\n"));
    night.write("config.yml", "{");
    let run = night.run(&[]);
    assert_eq!((run.code, night.tags().len()), (0, 3), "{}", run.stderr);
    assert_eq!(night.calls().last().unwrap(), "docker start registry");
}

#[test]
fn what_cannot_work_ends_the_night_before_the_registry_is_stopped() {
    let night = Night::new();
    for (variables, expected) in [
        (&[("REGC", "/nowhere/regc")][..], "cannot run regc"),
        (&[("REGC_POLICY", "/nowhere/retention.yml")], "cannot read the policy /nowhere/retention.yml"),
        (&[("REGC_ROOT", "")], "REGC_ROOT is empty"),
        (&[("REGC_USER", "nobody-of-this-name")], "cannot run regc as user nobody-of-this-name"),
        (&[("REGISTRY", "podman:registry")], "not podman:registry"),
        (&[("REGISTRY", "kubernetes:registry")], "not kubernetes:registry"),
    ] {
        let run = night.run(variables);
        assert_eq!((run.code, run.stdout.as_str()), (1, ""), "{expected}");
        assert!(run.stderr.contains(expected), "{}", run.stderr);
        assert!(night.calls().is_empty() && night.is_running(), "{expected}");
    }
    fs::remove_file(night.path("nightly.conf")).unwrap();
    let run = night.run(&[]);
    assert!(run.code == 1 && run.stderr.contains("cannot read the configuration"), "{}", run.stderr);
    assert!(night.calls().is_empty());
}

#[test]
fn pods_that_do_not_end_stop_the_night() {
    let night = Night::of(&two_images());
    night.write("stuck", "");
    let before = files_below(night.root.path());
    let run = night.run_as(&KINDS[3]);
    assert_eq!(run.code, 1);
    assert!(run.stderr.contains("not gone after 1 s: pod/registry-1"), "{}", run.stderr);
    assert_eq!(files_below(night.root.path()), before);
    assert!(night.is_running() && night.calls().last().unwrap() == KINDS[3].starts);
}

#[test]
fn deployment_that_a_killed_run_has_left_at_0_is_scaled_back() {
    let night = Night::new();
    fs::remove_file(night.path("running")).unwrap();
    night.write("annotation", "");
    let run = night.run_as(&KINDS[3]);
    assert_eq!((run.code, run.stderr.as_str()), (0, ""));
    assert!(night.is_running() && !night.path("annotation").exists());
    assert_eq!(night.calls().last().unwrap(), KINDS[3].starts);
}

/// What the CronJob runs exists, and its account may do what the script does.
#[test]
fn cron_job_matches_the_script() {
    let yaml = fs::read_to_string(crate::project().join("docs/nightly/kubernetes.yaml")).unwrap();
    let resources: Vec<Value> = serde_yaml::Deserializer::from_str(&yaml)
        .map(|document| Value::deserialize(document).expect("the manifest is YAML"))
        .collect();
    let kind = |kind: &str| resources.iter().find(|resource| resource["kind"] == kind).expect("it is there");
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();

    let (account, role, binding) = (kind("ServiceAccount"), kind("Role"), kind("RoleBinding"));
    let pod = &kind("CronJob")["spec"]["jobTemplate"]["spec"]["template"]["spec"];
    assert_eq!(pod["serviceAccountName"], account["metadata"]["name"]);
    assert_eq!(binding["subjects"][0]["name"], account["metadata"]["name"]);
    assert_eq!(binding["roleRef"]["name"], role["metadata"]["name"]);

    let container = &pod["containers"][0];
    let variable = |name: &str| {
        let variables = container["env"].as_sequence().unwrap();
        text(&variables.iter().find(|variable| variable["name"] == name).unwrap()["value"])
    };
    let [deployments, pods] = [0, 1].map(|rule| &role["rules"][rule]);
    let (namespace, deployment) = (text(&role["metadata"]["namespace"]), text(&deployments["resourceNames"][0]));
    assert_eq!(variable("REGISTRY"), format!("kubernetes:{namespace}/{deployment}"));

    let mounts = container["volumeMounts"].as_sequence().unwrap();
    assert!(mounts.iter().any(|mount| mount["mountPath"] == variable("REGC_ROOT").as_str()));
    let script = text(&container["command"][1]);
    let (directory, script) = script.rsplit_once('/').unwrap();
    assert!(mounts.iter().any(|mount| mount["mountPath"] == directory));
    assert!(crate::project().join("docs/nightly").join(script).is_file(), "{script}");
    assert!(yaml.contains(&format!("--from-file={script} --from-file=retention.yml")));

    let verbs = |rule: &Value| rule["verbs"].as_sequence().unwrap().iter().map(text).collect::<Vec<_>>();
    let night = Night::new();
    night.run_as(&KINDS[3]);
    for call in night.calls().iter().filter_map(|call| call.strip_prefix("kubectl --namespace infra ")) {
        let allowed = match call.split(' ').take(2).collect::<Vec<_>>()[..] {
            [verb, "deployment"] => verbs(deployments).contains(&verb.to_owned()),
            ["get", "pods"] => verbs(pods).contains(&"list".to_owned()),
            _ => false,
        };
        assert!(allowed, "{call}");
    }
}
