//! Signatures, SBOMs and attestations of deleted images.

use std::fs::{self, File};
use std::path::Path;
use std::time::{Duration, SystemTime};

use indicatif::BinaryBytes;
use regc_core::Digest;
use regc_core::registry::layout;
use regc_testkit::{TestRegistry, blobs_below, files_below};
use serde_json::Value;
use tempfile::TempDir;

use crate::common::{Run, regc};
use crate::terminal::answered;

/// A repository with two signed images, and what is attached to each of them in every way.
struct Signed {
    root: TempDir,
    deleted: Digest,
    kept: Digest,
}

/// Returns the tags that cosign and a client for OCI referrers create for an image.
fn attached(image: &Digest) -> [String; 2] {
    let name = format!("sha256-{}", image.hex());
    [format!("{name}.sig"), name]
}

/// Attaches a signature by its tag, a bundle in an index with a referrers tag, and an SBOM by its subject alone.
fn attach(registry: &mut TestRegistry, repository: &str, image: &Digest) {
    let [signature, referrers] = attached(image);
    let name = |what: &str| format!("{what} of {image}");
    let signed = registry.image(&format!("{repository}:{signature}")).layers([name("signature")]).push();
    let bundle = registry.image(repository).layers([name("bundle")]).subject(*image).push();
    registry.index(&format!("{repository}:{referrers}")).manifests([bundle]).push();
    registry.image(repository).layers([name("SBOM")]).subject(*image).push();
    // A signature of the signature.
    registry.image(&format!("{repository}:{}", attached(&signed)[0])).layers([name("second signature")]).push();
}

impl Signed {
    fn new() -> Self {
        let mut registry = TestRegistry::new();
        let deleted = registry.image("app:v1").layers(["a"]).push();
        let kept = registry.image("app:v2").layers(["b"]).push();
        for image in [&deleted, &kept] {
            attach(&mut registry, "app", image);
        }
        registry.delete("app", &deleted);
        // A repository that holds only signatures, of an image in another repository.
        attach(&mut registry, "signatures", &kept);
        let signed = Self { root: registry.on_disk(), deleted, kept };
        signed.age(30);
        signed
    }

    fn age(&self, days: u64) {
        age(self.root.path(), days);
    }

    fn gc(&self, arguments: &[&str]) -> Run {
        let run = regc([&["gc", "--root", self.root.path().to_str().unwrap()], arguments].concat());
        assert_eq!(run.code, 0, "{arguments:?}: {}{}", run.stdout, run.stderr);
        run
    }

    fn has(&self, repository: &str, tag: &str) -> bool {
        self.root.path().join(layout::tag(repository, tag)).exists()
    }

    fn revisions(&self) -> usize {
        let of_app = format!("{}/", layout::revisions("app"));
        files_below(self.root.path()).iter().filter(|key| key.starts_with(&of_app)).count()
    }

    /// Asserts that what was attached to the deleted image is gone with all that only it needed, and the rest is there.
    fn assert_tidy(&self, with_untagged: bool) {
        for tag in attached(&self.deleted) {
            assert!(!self.has("app", &tag), "{tag}");
        }
        for repository in ["app", "signatures"] {
            assert!(attached(&self.kept).iter().all(|tag| self.has(repository, tag)), "{repository}");
        }
        // The image, its signature with its own signature, the bundle, its index, and the SBOM.
        assert_eq!(self.revisions(), 6);
        assert!(
            !self.root.path().join(layout::revision("app", &self.deleted)).exists(),
            "nothing is attached any more"
        );
        let before = blobs_below(self.root.path());
        let again = if with_untagged { self.gc(&["--tidy", "-m"]) } else { self.gc(&["--tidy"]) };
        assert!(again.stdout.contains("othing to remove"), "{}", again.stdout);
        assert_eq!(blobs_below(self.root.path()), before);
    }
}

/// Makes everything in a store this many days old.
fn age(root: &Path, days: u64) {
    let then = SystemTime::now() - Duration::from_secs(days * 86_400);
    for file in files_below(root) {
        File::open(root.join(file)).unwrap().set_modified(then).unwrap();
    }
}

#[test]
fn tidy_deletes_attachments_of_a_deleted_image() {
    for with_untagged in [false, true] {
        let signed = Signed::new();
        let arguments = if with_untagged { &["--tidy", "-m"][..] } else { &["--tidy"] };
        let told = signed.gc(&[arguments, &["--dry-run", "--format", "json"]].concat());
        assert!(attached(&signed.deleted).iter().all(|tag| signed.has("app", tag)), "a dry run");
        let done = signed.gc(&[arguments, &["--format", "json"]].concat());
        let items = |run: &Run| -> Vec<String> {
            run.stdout.lines().filter(|line| !line.contains("\"summary\"")).map(str::to_owned).collect()
        };
        assert_eq!(items(&told), items(&done));
        signed.assert_tidy(with_untagged);
    }
}

#[test]
fn orphans_are_found_after_other_runs() {
    let signed = Signed::new();
    signed.gc(&[]);
    signed.gc(&["-m"]);
    assert!(attached(&signed.deleted).iter().all(|tag| signed.has("app", tag)), "not without --tidy");
    signed.gc(&["--tidy"]);
    signed.assert_tidy(false);
}

#[test]
fn orphans_of_untagged_image_are_found() {
    for at_once in [true, false] {
        let signed = Signed::new();
        fs::remove_dir_all(signed.root.path().join(layout::tag("app", "v2"))).unwrap();
        if !at_once {
            signed.gc(&["-m"]);
            assert!(attached(&signed.kept).iter().all(|tag| signed.has("app", tag)), "not without --tidy");
        }
        signed.gc(&["-m", "--tidy"]);
        assert!(!attached(&signed.kept).iter().any(|tag| signed.has("app", tag)));
        assert!(!signed.root.path().join(layout::repository("app")).exists(), "nothing is left of it");
        assert!(attached(&signed.kept).iter().all(|tag| signed.has("signatures", tag)));
    }
}

#[test]
fn recent_or_needed_orphans_stay() {
    let signed = Signed::new();
    signed.age(6);
    signed.gc(&["--tidy"]);
    assert!(attached(&signed.deleted).iter().all(|tag| signed.has("app", tag)), "it is six days old");
    assert!(signed.root.path().join(layout::revision("app", &signed.deleted)).exists(), "it is remembered");
    signed.age(8);
    // Another tag keeps the signature's manifest, but not the signature's tag.
    let [signature, _] = attached(&signed.deleted);
    let link = fs::read(signed.root.path().join(layout::tag_link("app", &signature))).unwrap();
    fs::create_dir_all(signed.root.path().join(layout::tag("app", "mine")).join("current")).unwrap();
    fs::write(signed.root.path().join(layout::tag_link("app", "mine")), &link).unwrap();
    let manifest: Digest = String::from_utf8(link).unwrap().parse().unwrap();
    signed.gc(&["--tidy"]);
    assert!(!signed.has("app", &signature));
    assert!(signed.root.path().join(layout::revision_link("app", &manifest)).exists());
    assert!(signed.root.path().join(layout::blob_data(&manifest)).exists());
}

#[test]
fn orphans_are_restored_from_trash() {
    let signed = Signed::new();
    let before = files_below(signed.root.path());
    let root = signed.root.path().to_str().unwrap();
    signed.gc(&["--tidy", "--trash"]);
    assert!(!signed.has("app", &attached(&signed.deleted)[0]));
    let listed = regc(["trash", "list", "--root", root]);
    let run = listed.stdout.split_whitespace().find(|word| word.starts_with("20")).unwrap();
    assert_eq!(regc(["trash", "restore", run, "--root", root]).code, 0);
    let after = files_below(signed.root.path());
    let lost: Vec<&String> = before.iter().filter(|key| !after.contains(*key)).collect();
    assert_eq!(lost, Vec::<&String>::new());
}

#[test]
fn orphans_rule_deletes_attachments_of_a_deleted_image() {
    for (rule, is_deleted) in [("29d", true), ("31d", false)] {
        let signed = Signed::new();
        let root = signed.root.path().to_str().unwrap();
        let policy = signed.root.path().join("policy.yml");
        let text = format!("version: 1\nrules:\n  - {{repositories: '**', keep: all, orphans: {rule}}}\n");
        fs::write(&policy, text).unwrap();
        let from_file = ["--policy", policy.to_str().unwrap()];
        for rules in [&from_file[..], &["--keep", "all", "--orphans", rule]] {
            let run = regc([&["prune", "--root", root, "--dry-run", "--explain"], rules].concat());
            let [signature, _] = attached(&signed.deleted);
            let line = run.stdout.lines().find(|line| line.contains(&signature)).unwrap_or_default().to_owned();
            assert_eq!(line.trim_start().starts_with("remove"), is_deleted, "{}", run.stdout);
            let why =
                if is_deleted { "was deleted, and was pushed more than 29d ago" } else { "is not in this repository" };
            assert!(line.ends_with(why), "{line}");
        }
        let run = regc(["prune", "--root", root, "--yes", "--keep", "all", "--orphans", rule]);
        assert_eq!(run.code, 0, "{}{}", run.stdout, run.stderr);
        for tag in attached(&signed.deleted) {
            assert_eq!(signed.has("app", &tag), !is_deleted, "{tag}");
        }
        for repository in ["app", "signatures"] {
            assert!(attached(&signed.kept).iter().all(|tag| signed.has(repository, tag)), "{repository}");
        }
    }
}

/// Makes a link recent, as a push does.
fn push_again(root: &Path, link: &str) {
    File::open(root.join(link)).unwrap().set_modified(SystemTime::now()).unwrap();
}

#[test]
fn orphan_is_kept_while_an_attached_manifest_is_recent() {
    let mut registry = TestRegistry::new();
    let deleted = registry.image("app:v1").layers(["a"]).push();
    let [signature, referrers] = attached(&deleted);
    let signed = registry.image(&format!("app:{signature}")).layers(["signature"]).push();
    let bundle = registry.image("app").layers(["bundle"]).subject(deleted).push();
    registry.index(&format!("app:{referrers}")).manifests([bundle]).push();
    let on_signature = registry.image("app").layers(["on the signature"]).subject(signed).push();
    let on_bundle = registry.image("app").layers(["on the bundle"]).subject(bundle).push();
    registry.delete("app", &deleted);
    for young in [on_signature, on_bundle, bundle, signed] {
        let root = registry.on_disk();
        age(root.path(), 30);
        push_again(root.path(), &layout::revision_link("app", &young));
        let path = root.path().to_str().unwrap();
        for command in
            [&["gc", "--tidy"][..], &["gc", "--tidy", "-m"], &["prune", "--yes", "--keep", "all", "--orphans", "7d"]]
        {
            let run = regc([command, &["--root", path]].concat());
            assert_eq!(run.code, 0, "{command:?}: {}{}", run.stdout, run.stderr);
            let link = layout::revision_link("app", &young);
            assert!(root.path().join(link).exists(), "{command:?}: {young}");
            assert!(root.path().join(layout::blob_data(&young)).exists(), "{command:?}: {young}");
        }
    }
}

#[test]
fn orphaned_index_with_unattached_child_stays() {
    let mut registry = TestRegistry::new();
    let deleted = registry.image("app:v1").layers(["a"]).push();
    let other = registry.image("app").layers(["attached to nothing"]).push();
    let elsewhere = registry.image("elsewhere:v1").layers(["elsewhere"]).push();
    let of_elsewhere = registry.image("app").layers(["signature"]).subject(elsewhere).push();
    registry.delete("app", &deleted);
    for listed in [other, of_elsewhere] {
        let [_, referrers] = attached(&deleted);
        registry.index(&format!("app:{referrers}")).manifests([listed]).push();
        let root = registry.on_disk();
        age(root.path(), 30);
        let path = root.path().to_str().unwrap();
        for command in [&["gc", "--tidy"][..], &["prune", "--yes", "--keep", "all", "--orphans", "7d"]] {
            let run = regc([command, &["--root", path]].concat());
            assert_eq!(run.code, 0, "{command:?}: {}{}", run.stdout, run.stderr);
            assert!(root.path().join(layout::revision_link("app", &listed)).exists(), "{command:?}");
            assert!(root.path().join(layout::tag_link("app", &referrers)).exists(), "{command:?}");
        }
    }
}

#[test]
fn tidy_deletes_earlier_versions_of_orphaned_tag() {
    let mut registry = TestRegistry::new();
    let deleted = registry.image("app:v1").layers(["a"]).push();
    registry.image("app:v2").layers(["b"]).push();
    let [signature, referrers] = attached(&deleted);
    let mut bundles = Vec::new();
    for n in 1..=3 {
        registry.image(&format!("app:{signature}")).layers([format!("signature {n}")]).push();
        bundles.push(registry.image("app").layers([format!("bundle {n}")]).subject(deleted).push());
        registry.index(&format!("app:{referrers}")).manifests(bundles.clone()).push();
    }
    registry.delete("app", &deleted);
    let root = registry.on_disk();
    age(root.path(), 30);
    let run = regc(["gc", "--tidy", "--root", root.path().to_str().unwrap()]);
    assert_eq!(run.code, 0, "{}{}", run.stdout, run.stderr);
    let of_app = format!("{}/", layout::revisions("app"));
    let left: Vec<String> = files_below(root.path()).into_iter().filter(|key| key.starts_with(&of_app)).collect();
    assert_eq!(left.len(), 1, "only the image that stays: {left:?}");
}

#[test]
fn referrers_of_platforms_of_kept_image_stay() {
    let mut registry = TestRegistry::new();
    let platform = registry.image("app").layers(["a"]).push();
    registry.index("app:v1").manifests([platform]).push();
    let [signature, referrers] = attached(&platform);
    registry.image(&format!("app:{signature}")).layers(["signature"]).push();
    let bundle = registry.image("app").layers(["bundle"]).subject(platform).push();
    registry.index(&format!("app:{referrers}")).manifests([bundle]).push();
    registry.delete("app", &platform);
    let root = registry.on_disk();
    age(root.path(), 30);
    let path = root.path().to_str().unwrap();
    for command in
        [&["gc", "--tidy"][..], &["gc", "--tidy", "-m"], &["prune", "--yes", "--keep", "all", "--orphans", "7d"]]
    {
        let run = regc([command, &["--root", path]].concat());
        assert_eq!(run.code, 0, "{command:?}: {}{}", run.stdout, run.stderr);
        for tag in [&signature, &referrers] {
            assert!(root.path().join(layout::tag_link("app", tag)).exists(), "{command:?}: {tag}");
        }
        assert!(root.path().join(layout::revision_link("app", &bundle)).exists(), "{command:?}");
    }
}

#[test]
fn a_collection_says_at_a_terminal_what_untagged_and_tidy_would_free() {
    let store = || {
        let mut registry = TestRegistry::new();
        let deleted = registry.image("app:v1").layers(["a"]).push();
        attach(&mut registry, "app", &deleted);
        registry.delete("app", &deleted);
        registry.image("app:v2").layers(["old"]).push();
        registry.image("app:v2").layers(["b"]).push();
        registry.upload("empty", "abandoned");
        registry.upload("app", "abandoned");
        registry.put(format!("{}/.data.Xy12Za", layout::blob(&regc_testkit::layer("b"))), "the first half");
        let root = registry.on_disk();
        age(root.path(), 30);
        root
    };
    let root = store();
    let at = ["--no-cache", "--root", root.path().to_str().unwrap()];
    let screen = |arguments: &[&str]| {
        let run = answered(&[&["gc"], arguments, &at].concat(), "");
        assert_eq!(run.code, 0, "{}", run.stdout);
        let lines = run.stdout.lines().map(str::trim);
        lines.filter(|line| line.contains("-m") || line.contains("--tidy")).map(str::to_owned).collect::<Vec<_>>()
    };
    let removed = |arguments: &[&str]| -> Value {
        let run = regc([&["gc", "--json"], arguments, &at].concat());
        serde_json::from_str::<Value>(run.stdout.lines().last().unwrap()).unwrap()["removed"].clone()
    };
    let planned = screen(&["--dry-run"]);
    assert_eq!(screen(&[]), planned, "the same after a real run");
    assert_eq!(screen(&["--dry-run", "--tidy"]).len(), 1, "only -m");
    let with_untagged = screen(&["--dry-run", "-m"]);
    let untagged = removed(&["-m"]);
    let expected = format!(
        "{} in {} untagged manifests would also be freed with -m.",
        BinaryBytes(untagged["bytes"].as_u64().unwrap()),
        untagged["revisions"]
    );
    assert_eq!(planned[0], expected);
    let of_tidy = screen(&[]);
    let tidied = removed(&["-m", "--tidy"]);
    let bytes: u64 = ["bytes", "upload_bytes", "file_bytes"].iter().map(|bytes| tidied[bytes].as_u64().unwrap()).sum();
    let all = format!(
        "{} in {} blobs, 2 uploads, 1 other file, 1 repository, {} tags, {} manifests, {} layer links",
        BinaryBytes(bytes),
        tidied["blobs"],
        tidied["tags"],
        tidied["revisions"],
        tidied["layer_links"]
    );
    assert_eq!(planned[1..], [format!("With --tidy as well: {all}.")]);
    for alone in [with_untagged, of_tidy] {
        let [alone] = &*alone else { panic!("{alone:?}") };
        assert!(alone.starts_with(&all) && alone.ends_with(" would also be freed with --tidy."), "{alone}");
    }
    assert_eq!(screen(&[]), Vec::<String>::new(), "nothing is left");
}
