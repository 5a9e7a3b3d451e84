//! `regc du`: where the bytes are.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::Path;

use regc_core::registry::layout;
use regc_core::{Algorithm, Digest};
use regc_testkit::generate::{self, Features};
use regc_testkit::{TestRegistry, blob_of, files_below, fixture, layer, layer_content, oracle};
use serde_json::{Value, json};

use crate::common::{gc, regc};

/// Returns the lines of `regc du --format json`.
fn du(root: &Path, arguments: &[&str]) -> Vec<Value> {
    let run = regc([&["du", "--format", "json", "--root", root.to_str().unwrap()], arguments].concat());
    assert_eq!(run.code, 0, "{}", run.stderr);
    run.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Returns the line in which each of these fields has this value.
fn line<'l>(lines: &'l [Value], fields: &[(&str, &str)]) -> &'l Value {
    let is_it = |line: &&Value| fields.iter().all(|(field, value)| line[field] == *value);
    lines.iter().find(is_it).unwrap_or_else(|| panic!("there is no line with {fields:?}"))
}

fn repository<'l>(lines: &'l [Value], name: &str) -> &'l Value {
    line(lines, &[("type", "repository"), ("repository", name)])
}

/// Returns how much the next collection would delete, according to its dry run.
fn garbage(root: &Path, arguments: &[&str]) -> u64 {
    let run = gc(root, &[&["-d", "--format", "json", "-q"], arguments].concat());
    let summary: Value = serde_json::from_str(run.stdout.trim()).unwrap();
    summary["garbage"]["bytes"].as_u64().unwrap()
}

fn sum<'l>(lines: impl IntoIterator<Item = &'l Value>, field: &str) -> u64 {
    lines.into_iter().map(|line| line[field].as_u64().unwrap()).sum()
}

/// Returns the total length of the layers with these names.
fn layers(names: &[&str]) -> u64 {
    names.iter().map(|name| layer_content(name).len() as u64).sum()
}

/// Returns the total length of some blobs, each counted once.
fn bytes<'d>(registry: &TestRegistry, digests: impl IntoIterator<Item = &'d Digest>) -> u64 {
    let once: BTreeSet<&Digest> = digests.into_iter().collect();
    once.into_iter().filter_map(|digest| registry.get(&layout::blob_data(digest))).map(|data| data.len() as u64).sum()
}

/// Returns a manifest, its config and its layers.
fn parts(registry: &TestRegistry, manifest: &Digest) -> BTreeSet<Digest> {
    let text: Value = serde_json::from_slice(registry.get(&layout::blob_data(manifest)).unwrap()).unwrap();
    let layers = text["layers"].as_array().into_iter().flatten();
    let parts = layers.chain(text.get("config")).map(|part| part["digest"].as_str().unwrap().parse().unwrap());
    parts.chain([*manifest]).collect()
}

#[test]
fn du_parts_add_up_to_the_total() {
    let root = fixture::tree();
    let lines = du(&root, &[]);
    let summary = lines.last().unwrap();
    let blobs = files_below(&root).into_iter().filter(|key| blob_of(key).is_some());
    let bytes: u64 = blobs.map(|key| fs::metadata(root.join(key)).unwrap().len()).sum();
    assert_eq!(summary["live"].as_u64().unwrap() + summary["garbage"].as_u64().unwrap(), bytes);
    assert_eq!((&summary["total"], &summary["other"]), (&json!(bytes), &json!(0)));
    let dry: Value = serde_json::from_str(gc(&root, &["-d", "--format", "json", "-q"]).stdout.trim()).unwrap();
    assert_eq!((&summary["live"], &summary["garbage"]), (&dry["live_bytes"], &dry["garbage"]["bytes"]));
    let repositories = || lines.iter().filter(|line| line["type"] == "repository");
    assert_eq!(sum(repositories(), "exclusive") + summary["shared"].as_u64().unwrap(), summary["live"]);
    assert_eq!(sum(repositories(), "garbage") + summary["unlinked_garbage"].as_u64().unwrap(), summary["garbage"]);
    assert_eq!(
        summary["untagged"],
        garbage(&root, &["-m"]) - summary["garbage"].as_u64().unwrap(),
        "what nothing tags is what -m gives back beyond"
    );
}

#[test]
fn exclusive_bytes_are_freed_by_deleting_repository() {
    let mut registry = TestRegistry::new();
    let tagged = registry.image("team/app:v1").layers(["base", "a"]).push();
    let untagged = registry.image("team/app").layers(["base", "old"]).push();
    registry.image("team/other:v1").layers(["base", "b"]).push();
    registry.image("alone:v1").layers(["c"]).push();
    let root = registry.on_disk();
    let lines = du(root.path(), &[]);
    let app = repository(&lines, "team/app");
    let (tagged, untagged) = (parts(&registry, &tagged), parts(&registry, &untagged));
    assert_eq!(app["shared"], layers(&["base"]));
    assert_eq!(app["pulled"], bytes(&registry, &tagged));
    assert_eq!(app["untagged"], bytes(&registry, untagged.difference(&tagged)));
    assert_eq!(app["exclusive"], bytes(&registry, tagged.union(&untagged)) - layers(&["base"]));
    assert_eq!(lines.last().unwrap()["untagged"], app["untagged"]);

    fs::remove_dir_all(root.path().join(layout::repository("team/app"))).unwrap();
    assert_eq!(app["exclusive"], garbage(root.path(), &[]));
}

#[test]
fn du_reports_shared_bytes_by_repository() {
    let mut registry = TestRegistry::new();
    registry.image("a:v1").layers(["of a and b", "of a, b and c", "of a"]).push();
    registry.image("b:v1").layers(["of a and b", "of a, b and c", "of b and d"]).push();
    registry.image("c:v1").layers(["of a, b and c"]).push();
    registry.image("d:v1").layers(["of b and d"]).push();
    let root = registry.on_disk();
    let lines = du(root.path(), &[]);
    let shared = |with: &[(&str, &[&str])]| -> Value {
        with.iter().map(|(name, names)| json!({ "repository": name, "bytes": layers(names) })).collect()
    };
    let three: &[&str] = &["of a, b and c"];
    let expected = shared(&[("b", &["of a and b", "of a, b and c"]), ("c", three)]);
    assert_eq!(repository(&lines, "a")["shared_with"], expected);
    let expected = shared(&[("a", &["of a and b", "of a, b and c"]), ("c", three), ("d", &["of b and d"])]);
    assert_eq!(repository(&lines, "b")["shared_with"], expected, "the most first");
    assert_eq!(repository(&lines, "c")["shared_with"], shared(&[("a", three), ("b", three)]));
    let three = layers(&["of a and b", "of a, b and c", "of b and d"]);
    assert_eq!((&repository(&lines, "b")["shared"], &lines.last().unwrap()["shared"]), (&json!(three), &json!(three)));

    let people = regc(["du", "--root", root.path().to_str().unwrap()]).stdout;
    assert!(people.contains("\n              shared with a (37 B), c (20 B), d (17 B)\n"), "{people}");
}

#[test]
fn du_names_no_sharers_beyond_limit() {
    let mut registry = TestRegistry::new();
    for number in 0..102 {
        let name = format!("app-{number:03}:v1");
        let mut image = registry.image(&name).layers(["base"]);
        image = if number < 100 { image.layers(["of a hundred"]) } else { image };
        image = if number < 2 { image.layers(["of two"]) } else { image };
        image.layers([name.clone()]).push();
    }
    let root = registry.on_disk();
    let lines = du(root.path(), &[]);
    let first = repository(&lines, "app-000");
    let with = first["shared_with"].as_array().unwrap();
    let bytes = layers(&["of a hundred", "of two"]);
    assert_eq!(with[0], json!({ "repository": "app-001", "bytes": bytes }));
    let named: Vec<&str> = with.iter().map(|with| with["repository"].as_str().unwrap()).collect();
    assert_eq!(named, (1..100).map(|number| format!("app-{number:03}")).collect::<Vec<_>>());
    assert_eq!((&first["shared_with_more"], &first["shared_by_many"]), (&json!(0), &json!(layers(&["base"]))));
    assert_eq!(first["shared"], layers(&["base"]) + bytes);
    let people = regc(["du", "--root", root.path().to_str().unwrap()]).stdout;
    let first =
        "shared with app-001 (32 B), app-002 (19 B), app-003 (19 B) and 96 more; more than 100 repositories (11 B)\n";
    assert!(people.contains(first), "{people}");
    assert!(people.contains("              shared with more than 100 repositories (11 B)\n"), "{people}");
}

#[test]
fn at_most_a_hundred_sharing_repositories_are_named() {
    let mut registry = TestRegistry::new();
    let of_two: Vec<String> = (0..103).map(|number| format!("of {number:03} and all")).collect();
    registry.image("all:v1").layers(of_two.clone()).push();
    for (number, name) in of_two.iter().enumerate() {
        registry.image(&format!("app-{number:03}:v1")).layers([name.clone()]).push();
    }
    let root = registry.on_disk();
    let lines = du(root.path(), &[]);
    let all = repository(&lines, "all");
    assert_eq!(all["shared_with"].as_array().unwrap().len(), 100);
    assert_eq!((&all["shared_with_more"], &all["shared_by_many"]), (&json!(3), &json!(0)));
    assert!(regc(["du", "--root", root.path().to_str().unwrap()]).stdout.contains(" and 100 more\n"));
}

#[test]
fn garbage_is_counted_where_it_is_linked() {
    let mut registry = TestRegistry::new();
    registry.image("a:v1").layers(["base"]).push();
    registry.image("b:v1").layers(["base"]).push();
    let deleted = registry.image("b:old").layers(["base", "of b"]).push();
    let deleted_parts = parts(&registry, &deleted);
    registry.delete("b", &deleted);
    registry.layer("a", "of both");
    registry.layer("b", "of both");
    registry.blob("of nobody");
    let root = registry.on_disk();
    let lines = du(root.path(), &[]);
    assert_eq!(repository(&lines, "a")["garbage"], layers(&["of both"]), "in the first of them");
    let of_b = bytes(&registry, deleted_parts.iter().filter(|digest| **digest != layer("base")));
    assert_eq!(repository(&lines, "b")["garbage"], of_b, "also the manifest, whose link is gone");
    let summary = lines.last().unwrap();
    assert_eq!(summary["unlinked_garbage"], "of nobody".len());
    assert_eq!(summary["garbage"], of_b + layers(&["of both"]) + "of nobody".len() as u64);
    assert_eq!(summary["garbage"], garbage(root.path(), &[]));
    assert!(
        regc(["du", "--root", root.path().to_str().unwrap()]).stdout.contains("  9 B  (linked by no repository)\n")
    );
}

#[test]
fn every_field_is_documented() {
    let mut registry = TestRegistry::new();
    registry.image("team/app:v1").layers(["base"]).push();
    let page = fs::read_to_string(crate::project().join("docs/json.md")).unwrap();
    for line in du(registry.on_disk().path(), &["--tags", "--by-namespace"]) {
        for field in line.as_object().unwrap().keys() {
            let example = format!("\"{field}\":");
            assert!(page.contains(&example), "docs/json.md does not tell of {field} in {line}");
        }
    }
}

#[test]
fn human_report_shows_the_totals() {
    let mut registry = TestRegistry::new();
    registry.manifest("a:v1", r#"{"schemaVersion":2}"#);
    registry.manifest("b:v1", r#"{"schemaVersion":2}"#);
    registry.manifest("b", r#"{"schemaVersion":2,"layers":[]}"#);
    registry.layer("b", "garbage");
    let root = registry.on_disk();
    fs::write(root.path().join(layout::BLOBS).join("notes"), "notes").unwrap();
    let people = regc(["du", "--root", root.path().to_str().unwrap()]).stdout;
    let expected = [
        "EXCLUSIVE  SHARED  PULLED  UNTAGGED  GARBAGE  REPOSITORY",
        "     31 B    19 B    19 B      31 B     14 B  b",
        "              shared with a (19 B)",
        "      0 B    19 B    19 B       0 B      0 B  a",
        "              shared with b (19 B)",
        "     31 B    19 B    19 B      31 B     14 B  (total, everything once)",
        "69 B in total: 50 B in use, 14 B garbage, which `regc gc` frees, 5 B in other files",
    ];
    assert_eq!(people.lines().collect::<Vec<_>>(), expected, "{people}");
}

/// Returns the total length of all files below the directory of blobs, according to the file system.
fn all_files(root: &Path) -> u64 {
    files_in(&root.join(layout::BLOBS))
}

fn files_in(directory: &Path) -> u64 {
    let lengths = fs::read_dir(directory).unwrap().map(|entry| {
        let entry = entry.unwrap();
        match entry.metadata().unwrap() {
            directory if directory.is_dir() => files_in(&entry.path()),
            file if file.is_file() => file.len(),
            _ => 0,
        }
    });
    lengths.sum()
}

#[test]
fn other_files_are_counted_wherever_they_are() {
    let mut registry = TestRegistry::new();
    let image = registry.image("app:v1").layers(["base", "emptied", "elsewhere"]).push();
    let root = registry.on_disk();
    let blobs = root.path().join(layout::BLOBS);
    let clean = du(root.path(), &["--files"]).pop().unwrap();
    assert_eq!((clean["other"].as_u64(), clean["total"].as_u64()), (Some(0), Some(all_files(root.path()))));

    let hex = layer("base").hex();
    let places = [
        "notes".to_owned(),
        "lost+found/a/b".to_owned(),
        "sha256/.DS_Store".to_owned(),
        format!("sha256/zz/{hex}/data"),
        format!("sha256/{}/.nfs0001", &hex[..2]),
        format!("sha256/{}/{}/data", &hex[..2], &hex[2..]),
        format!("sha256/{}/{hex}/data.part", &hex[..2]),
        format!("sha256/{}/{hex}/below/data", &hex[..2]),
        "sha512/00".to_owned(),
        "md5/00/data".to_owned(),
    ];
    let (mut other, mut beside) = (0, 0);
    for (number, place) in places.iter().enumerate() {
        let path = blobs.join(place);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, vec![0; 1 << number]).unwrap();
        other += 1 << number;
        assert_eq!(du(root.path(), &["--files"]).pop().unwrap()["other"], other, "{place}");
        // Looking beside each content takes long.
        beside += if place.starts_with(&format!("sha256/{}/{hex}/", &hex[..2])) { 1 << number } else { 0 };
        assert_eq!(du(root.path(), &[]).pop().unwrap()["other"], other - beside, "{place}");
    }
    for directory in ["", "sha256", &format!("sha256/{}/{hex}", &hex[..2])] {
        let name = OsStr::from_bytes(b"not \xff UTF-8");
        fs::create_dir(blobs.join(directory).join(name)).unwrap();
        fs::write(blobs.join(directory).join(name).join(name), [0; 5000]).unwrap();
        other += 5000;
        assert_eq!(du(root.path(), &["--files"]).pop().unwrap()["other"], other, "not UTF-8 in {directory:?}");
    }
    symlink("/etc/passwd", blobs.join("link")).unwrap();
    symlink(root.path(), blobs.join(format!("sha256/{}/{hex}/link", &hex[..2]))).unwrap();
    let now = du(root.path(), &["--files"]).pop().unwrap();
    assert_eq!((&now["other"], &now["total"]), (&json!(other), &json!(all_files(root.path()))));
    assert_eq!((&now["live"], &now["garbage"]), (&clean["live"], &clean["garbage"]));

    // A directory in place of the content, and content that is elsewhere.
    let data = root.path().join(layout::blob_data(&layer("emptied")));
    fs::remove_file(&data).unwrap();
    fs::create_dir(&data).unwrap();
    fs::write(data.join("data"), [0; 70]).unwrap();
    let outside = tempfile::tempdir().unwrap();
    let elsewhere = root.path().join(layout::blob(&layer("elsewhere")));
    fs::rename(&elsewhere, outside.path().join("blob")).unwrap();
    symlink(outside.path().join("blob"), &elsewhere).unwrap();
    let manifest = root.path().join(layout::blob_data(&image));
    fs::rename(&manifest, outside.path().join("manifest")).unwrap();
    symlink(outside.path().join("manifest"), &manifest).unwrap();
    let now = du(root.path(), &["--files"]).pop().unwrap();
    assert_eq!((&now["other"], &now["total"]), (&json!(other + 70), &json!(all_files(root.path()))));
    let gone = layers(&["emptied", "elsewhere"]) + bytes(&registry, [&image]);
    assert_eq!(now["live"], clean["live"].as_u64().unwrap() - gone);
}

#[test]
fn blobs_behind_a_symbolic_link_in_place_of_their_directory_are_counted() {
    let mut registry = TestRegistry::new();
    registry.image("app:v1").layers(["base"]).push();
    let (root, outside) = (registry.on_disk(), tempfile::tempdir().unwrap());
    fs::write(root.path().join(layout::BLOBS).join("notes"), [0; 100]).unwrap();
    let before = du(root.path(), &[]).pop().unwrap();
    assert_eq!(before["other"], 100);
    for directory in [layout::shard(&layer("base")), layout::BLOBS.to_owned()] {
        let moved = outside.path().join(directory.replace('/', "-"));
        fs::rename(root.path().join(&directory), &moved).unwrap();
        symlink(moved, root.path().join(&directory)).unwrap();
        assert_eq!(du(root.path(), &[]).pop().unwrap(), before, "{directory}");
    }
}

#[test]
fn exclusive_bytes_of_tag_are_freed_by_deleting_it() {
    let mut registry = TestRegistry::new();
    let v1 = registry.image("app:v1").layers(["base", "v1", "of v1 and untagged"]).push();
    registry.image("app").layers(["base", "of v1 and untagged"]).push();
    let signature = registry.image("app").layers(["signature"]).subject(v1).push();
    let v2 = registry.image("app:v2").layers(["base", "v2"]).push();
    registry.tag("app", "latest", &v2);
    let child = registry.image("app").layers(["base", "child"]).push();
    let both = registry.image("app").layers(["base", "of both indexes"]).push();
    let one = registry.index("app:one").manifests([child, both]).push();
    registry.index("app:two").manifests([both]).push();
    registry.image("other:v1").layers(["v1 elsewhere"]).push();
    registry.image("app:v3").layers(["v1 elsewhere", "v3"]).push();
    registry.tag("app", "gone", &layer("base"));
    registry.put(layout::tag_link("app", "garbled"), "nonsense");
    let root = registry.on_disk();
    let lines = du(root.path(), &["--tags"]);
    let tag = |name: &str| line(&lines, &[("type", "tag"), ("repository", "app"), ("tag", name)]);

    for name in ["v2", "latest"] {
        assert_eq!((&tag(name)["exclusive"], &tag(name)["tags_of_image"]), (&json!(0), &json!(2)));
        assert_eq!(tag(name)["pulled"], bytes(&registry, &parts(&registry, &v2)));
    }
    assert_eq!((&tag("garbled")["digest"], &tag("garbled")["pulled"]), (&Value::Null, &json!(0)));
    assert_eq!((&tag("gone")["exclusive"], &tag("gone")["pulled"]), (&json!(0), &json!(0)), "no image is there");
    assert_eq!(tag("v1")["pulled"], bytes(&registry, &parts(&registry, &v1)), "a signature is not pulled");
    let of_one: BTreeSet<Digest> = [child, both, one].iter().flat_map(|part| parts(&registry, part)).collect();
    assert_eq!(tag("one")["pulled"], bytes(&registry, &of_one));
    let tags: Vec<&Value> = lines.iter().filter(|line| line["type"] == "tag" && line["repository"] == "app").collect();
    assert!(tags.is_sorted_by_key(|tag| std::cmp::Reverse(tag["exclusive"].as_u64().unwrap())), "{tags:?}");

    for (name, image) in [("v1", vec![v1, signature]), ("one", vec![one, child]), ("v3", vec![])] {
        let mut without = registry.clone();
        without.untag("app", name);
        let digest = tag(name)["digest"].as_str().unwrap().parse().unwrap();
        for digest in image.into_iter().chain([digest]).collect::<BTreeSet<_>>() {
            without.delete("app", &digest);
        }
        assert_eq!(tag(name)["exclusive"], garbage(without.on_disk().path(), &[]), "{name}");
    }
    let people = regc(["du", "--tags", "--root", root.path().to_str().unwrap()]).stdout;
    assert!(people.contains("  :latest  (2 tags name it)\n") && people.contains("  :v1\n"), "{people}");
}

#[test]
fn exclusive_bytes_of_a_namespace_are_freed_by_deleting_it() {
    let mut registry = TestRegistry::new();
    registry.image("team:v1").layers(["of team", "of all teams"]).push();
    registry.image("team/app:v1").layers(["of all teams", "of apps", "of worlds"]).push();
    registry.image("team/app/worker:v1").layers(["of all teams", "of apps"]).push();
    registry.image("team/app/deep/er:v1").layers(["of apps"]).push();
    registry.image("team-b/app:v1").layers(["of worlds", "b"]).push();
    registry.image("team-b/app").layers(["untagged"]).push();
    registry.image("alone:v1").layers(["of worlds"]).push();
    let root = registry.on_disk();
    let lines = du(root.path(), &["--by-namespace"]);
    let namespaces: BTreeMap<&str, &Value> = lines
        .iter()
        .filter(|line| line["type"] == "namespace")
        .map(|line| (line["namespace"].as_str().unwrap(), line))
        .collect();
    assert_eq!(namespaces.keys().copied().collect::<Vec<_>>(), ["team", "team-b", "team/app", "team/app/deep"]);
    for (name, namespace) in &namespaces {
        let without = registry.on_disk();
        fs::remove_dir_all(without.path().join(layout::repository(name))).unwrap();
        assert_eq!(namespace["exclusive"], garbage(without.path(), &[]), "{name}");
    }
    let shared = |name: &str| namespaces[name]["shared"].as_u64().unwrap();
    assert_eq!(shared("team"), layers(&["of worlds"]));
    assert_eq!(shared("team/app"), layers(&["of worlds", "of all teams"]));
    assert_eq!(shared("team/app/deep"), layers(&["of apps"]));
    let whole = |name: &str| shared(name) + namespaces[name]["exclusive"].as_u64().unwrap();
    assert_eq!(namespaces["team"]["pulled"], whole("team"), "everything has a tag");
    let untagged = repository(&lines, "team-b/app")["untagged"].as_u64().unwrap();
    assert_eq!(namespaces["team-b"]["pulled"], whole("team-b") - untagged);
    let people = regc(["du", "--by-namespace", "--root", root.path().to_str().unwrap()]).stdout;
    assert!(people.contains("  team/app/deep/\n"), "{people}");
}

#[test]
fn du_counts_protected_blobs_as_in_use() {
    let mut registry = TestRegistry::new();
    registry.image("hurt:v1").layers(["base"]).push();
    registry.image("other:v1").layers(["base", "other"]).push();
    registry.manifest("hurt:v2", "no manifest");
    registry.layer("hurt", "kept");
    let root = registry.on_disk();
    let lines = du(root.path(), &["--tags"]);
    let hurt = repository(&lines, "hurt");
    assert_eq!((&hurt["untagged"], &hurt["garbage"]), (&json!(layers(&["kept"])), &json!(0)));
    assert_eq!((&lines.last().unwrap()["garbage"], garbage(root.path(), &[])), (&json!(0), 0));
    let v1 = line(&lines, &[("type", "tag"), ("repository", "hurt"), ("tag", "v1")]);
    let manifest = v1["digest"].as_str().unwrap().parse().unwrap();
    assert_eq!(v1["exclusive"], bytes(&registry, [&manifest]), "its layers and its configuration would stay");
    fs::remove_dir_all(root.path().join(layout::repository("hurt"))).unwrap();
    assert_eq!(hurt["exclusive"], garbage(root.path(), &[]));
}

#[test]
fn du_counts_targets_of_other_algorithms_as_pulled() {
    let mut registry = TestRegistry::new();
    let named = Digest::of(Algorithm::Sha512, &layer_content("long"));
    let stored = registry.blob(layer_content("long"));
    registry.put(layout::layer_link("app", &named), stored.to_string());
    let manifest = json!({ "schemaVersion": 1, "fsLayers": [{ "blobSum": named.to_string() }] }).to_string();
    let digest = registry.manifest("app:v1", manifest.as_str());
    // A signature link, as registry 2.0 to 2.3 left them.
    let signature = registry.blob("signature");
    registry.put(layout::signature_link("app", &digest, &signature), signature.to_string());
    let root = registry.on_disk();
    let lines = du(root.path(), &["--tags"]);
    let (app, tag) = (repository(&lines, "app"), line(&lines, &[("type", "tag"), ("tag", "v1")]));
    let pulled = layers(&["long"]) + manifest.len() as u64;
    assert_eq!((&app["pulled"], &tag["pulled"], &app["untagged"]), (&json!(pulled), &json!(pulled), &json!(0)));
    let all = pulled + "signature".len() as u64;
    assert_eq!((&app["exclusive"], &tag["exclusive"]), (&json!(all), &json!(all)));
    assert_eq!(lines.last().unwrap()["garbage"], garbage(root.path(), &[]));
}

/// The oracle says what each repository needs, and what of it tags reach; the rest is plain arithmetic.
#[test]
fn random_registries_add_up() {
    for seed in 0..20 {
        let registry = generate::registry(seed, Features { referrers: true, partial_repositories: true });
        let root = registry.on_disk();
        let lines = du(root.path(), &["--by-namespace"]);
        let (summary, live, tagged) =
            (lines.last().unwrap(), oracle::live(&registry, false), oracle::live(&registry, true));
        let all: BTreeSet<Digest> = live.values().flatten().copied().collect();
        let reached: BTreeSet<Digest> = tagged.values().flatten().copied().collect();
        let needed_by = |is_one: &dyn Fn(&str) -> bool| -> BTreeSet<Digest> {
            live.iter().filter(|(name, _)| is_one(name)).flat_map(|(_, live)| live).copied().collect()
        };
        let (mut exclusive, mut garbage) = (0, 0);
        for (name, live) in &live {
            let usage = repository(&lines, name);
            let others = needed_by(&|other| other != name);
            assert_eq!(usage["exclusive"], bytes(&registry, live.difference(&others)), "{seed} {name}");
            assert_eq!(usage["shared"], bytes(&registry, live.intersection(&others)), "{seed} {name}");
            assert_eq!(usage["untagged"], bytes(&registry, live.difference(&tagged[name])), "{seed} {name}");
            for with in usage["shared_with"].as_array().unwrap() {
                let other = needed_by(&|other| with["repository"] == other);
                assert_eq!(with["bytes"], bytes(&registry, live.intersection(&other)), "{seed} {name} {with}");
            }
            exclusive += usage["exclusive"].as_u64().unwrap();
            garbage += usage["garbage"].as_u64().unwrap();
        }
        for usage in lines.iter().filter(|line| line["type"] == "namespace") {
            let namespace = usage["namespace"].as_str().unwrap();
            let is_in = |name: &str| name == namespace || name.starts_with(&format!("{namespace}/"));
            let (inside, outside) = (needed_by(&is_in), needed_by(&|name| !is_in(name)));
            assert_eq!(usage["exclusive"], bytes(&registry, inside.difference(&outside)), "{seed} {namespace}");
            assert_eq!(usage["shared"], bytes(&registry, inside.intersection(&outside)), "{seed} {namespace}");
        }
        assert_eq!((&summary["live"], &summary["exclusive"]), (&json!(bytes(&registry, &all)), &json!(exclusive)));
        assert_eq!(summary["shared"], bytes(&registry, &all) - exclusive, "{seed}");
        assert_eq!(summary["untagged"], bytes(&registry, all.difference(&reached)), "{seed}");
        assert_eq!(summary["garbage"], bytes(&registry, &oracle::garbage_blobs(&registry, false)), "{seed}");
        assert_eq!(summary["garbage"], garbage + summary["unlinked_garbage"].as_u64().unwrap(), "{seed}");
        assert_eq!(summary["total"], all_files(root.path()), "{seed}");
    }
}

/// What du reports for a tag or repository is what rm frees.
#[test]
fn du_predicts_what_rm_frees() {
    let freed = |root: &std::path::Path, name: &str| -> u64 {
        let run = regc(["rm", "--dry-run", "--format", "json", "--root", root.to_str().unwrap(), name]);
        let summary: Value = serde_json::from_str(run.stdout.lines().last().unwrap()).unwrap();
        summary["garbage"]["bytes"].as_u64().unwrap()
    };
    let mut signed = TestRegistry::new();
    let platform = signed.image("app").layers(["a"]).push();
    let index = signed.index("app:v1").manifests([platform]).push();
    for (of, end) in [(index, ".sig"), (platform, ".att")] {
        signed.image(&format!("app:sha256-{}{end}", of.hex())).layers([format!("{end} layer")]).push();
    }
    let sbom = signed.image("app:sbom").layers(["sbom"]).subject(index).push();
    signed.image("app").layers(["of sbom"]).subject(sbom).push();
    signed.image("app:v2").layers(["b"]).push();
    let mut stores = vec![signed];
    let features = regc_testkit::generate::Features { referrers: true, partial_repositories: true };
    stores.extend((18..25).map(|seed| regc_testkit::generate::registry(seed, features)));
    let mut checked = 0;
    for (seed, registry) in stores.iter().enumerate() {
        let root = registry.on_disk();
        let lines = du(root.path(), &["--tags"]);
        let all_garbage = lines.last().unwrap()["garbage"].as_u64().unwrap();
        for line in lines {
            let (repository, exclusive) = (line["repository"].as_str(), line["exclusive"].as_u64());
            match line["type"].as_str().unwrap() {
                "tag" if line["tags_of_image"] == 1 => {
                    let name = format!("{}:{}", repository.unwrap(), line["tag"].as_str().unwrap());
                    assert_eq!(freed(root.path(), &name), exclusive.unwrap(), "store {seed}: {name}");
                }
                "repository" => {
                    // Garbage that several repositories link is counted in one of them, and deleted with any.
                    let garbage = freed(root.path(), repository.unwrap()) - exclusive.unwrap();
                    assert!(
                        garbage >= line["garbage"].as_u64().unwrap() && garbage <= all_garbage,
                        "store {seed}: {line}"
                    );
                }
                _ => continue,
            }
            checked += 1;
        }
    }
    assert!(checked > 50, "{checked}");
}

#[test]
fn what_is_beside_the_blobs_is_told() {
    let mut registry = TestRegistry::new();
    registry.image("app:v1").layers(["a"]).push();
    let gone = registry.image("app:gone").layers(["gone"]).push();
    registry.delete("app", &gone);
    registry.upload("app", "0b2b9c2e-0001-4000-8000-000000000000");
    let root = registry.on_disk();
    let human = |command: &str, more: &[&str]| {
        let root = root.path().to_str().unwrap();
        regc([&[command, "--root", root], more].concat()).stdout
    };
    let summary = |field: &str| line(&du(root.path(), &[]), &[("type", "summary")])[field].clone();
    assert!(
        human("du", &[]).contains("in 1 unfinished upload, begun 2026-01-01T00:00:00Z, none of them older than 7 days")
    );
    assert!(!human("gc", &["-d"]).contains("unfinished"), "it may go on");
    for key in files_below(root.path()).iter().filter(|key| key.contains("/_uploads/")) {
        let month = std::time::Duration::from_secs(30 * 86_400);
        let file = fs::File::open(root.path().join(key)).unwrap();
        file.set_modified(std::time::SystemTime::now() - month).unwrap();
    }
    let found = summary("uploads");
    let bytes = found["bytes"].as_u64().unwrap();
    assert!(found["count"] == 1 && found["old"] == 1 && found["oldest"] == "2026-01-01T00:00:00Z", "{found}");
    assert_eq!(bytes, "2026-01-01T00:00:00Zthe first half".len() as u64);
    assert_eq!(found["old_bytes"], bytes);
    let told = "in 1 unfinished upload, begun 2026-01-01T00:00:00Z, which `regc gc --tidy` deletes\n";
    assert!(human("du", &[]).contains(told) && human("gc", &["-d"]).ends_with(told), "{}", human("gc", &["-d"]));
    for more in [&["-d", "--quiet"][..], &["-d", "--tidy"], &["-d", "--json"], &["-d", "--format", "registry"]] {
        assert!(!human("gc", more).contains("`regc gc --tidy`"), "{more:?}");
    }
    assert!(human("gc", &["--tidy", "--trash", "--no-cache"]).contains("upload"));
    assert_eq!(summary("uploads")["count"], 0);
    assert_eq!(summary("uploads")["oldest"], Value::Null);
    let trash = summary("trash_bytes").as_u64().unwrap();
    assert!(trash >= bytes && human("du", &[]).contains("in the trash, which `regc trash empty` deletes\n"));
    assert_eq!(regc(["trash", "empty", "--root", root.path().to_str().unwrap()]).code, 0);
    assert_eq!(summary("trash_bytes"), 0);
}

/// Returns what `du` reports of a path, in bytes.
fn du_of(path: &Path) -> u64 {
    let output = std::process::Command::new("du").args(["-s", "--block-size=1"]).arg(path).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().split('\t').next().unwrap().parse().unwrap()
}

/// Returns how many bytes are allocated for what `find` finds.
fn allocated(root: &Path, expression: &[&str]) -> u64 {
    let output =
        std::process::Command::new("find").arg(root).args(expression).args(["-printf", "%b\n"]).output().unwrap();
    let blocks = String::from_utf8(output.stdout).unwrap();
    blocks.lines().map(|blocks| blocks.parse::<u64>().unwrap() * 512).sum()
}

#[test]
fn the_parts_on_disk_add_up_to_what_du_reports() {
    // Not every file system allocates blocks for directories.
    for directory in [tempfile::tempdir().unwrap(), crate::on_another_file_system()] {
        let root = directory.path().join("registry");
        let mut registry = crate::registry();
        registry.blob(vec![7; 50_000]);
        registry.image("app:v1").layers(["a"]).push();
        registry.upload("app", "0b2b9c2e-0001-4000-8000-000000000000");
        registry.put(layout::upload_file("app", "0b2b9c2e-0001-4000-8000-000000000000", "data"), vec![7; 9_000]);
        registry.write_to(&root);
        assert_eq!(gc(&root, &["--trash"]).code, 0);
        fs::write(root.join(layout::MANIFEST_CACHE), vec![7; 6_000]).unwrap();
        // What does not belong: also under two names, sparse, of a name that is no UTF-8, and behind a symbolic link.
        fs::create_dir(root.join("lost+found")).unwrap();
        fs::write(root.join("lost+found/one"), vec![7; 20_000]).unwrap();
        fs::hard_link(root.join("lost+found/one"), root.join("lost+found/two")).unwrap();
        fs::hard_link(root.join(layout::blob_data(&layer("a"))), root.join("lost+found/a")).unwrap();
        fs::File::create(root.join("sparse")).unwrap().set_len(1 << 30).unwrap();
        fs::write(root.join(layout::BLOBS).join(OsStr::from_bytes(b"\xff")), vec![7; 5_000]).unwrap();
        let elsewhere = directory.path().join("elsewhere");
        fs::create_dir(&elsewhere).unwrap();
        fs::write(elsewhere.join("large"), vec![7; 100_000]).unwrap();
        symlink(&elsewhere, root.join(layout::REPOSITORIES).join("linked")).unwrap();

        let lines = du(&root, &["--disk-usage"]);
        let [usage] = &lines[..] else { panic!("{lines:?}") };
        assert_eq!((&usage["type"], &usage["total"]["bytes"]), (&json!("disk_usage"), &json!(du_of(&root))));
        let parts = ["blobs", "links", "directories", "uploads", "trash", "own", "other"];
        for field in ["bytes", "entries"] {
            let sum: u64 = parts.iter().map(|part| usage[part][field].as_u64().unwrap()).sum();
            assert_eq!(usage["total"][field], sum, "{usage}");
        }
        let bytes = |part: &str| usage[part]["bytes"].as_u64().unwrap();
        let uploads = root.join(layout::uploads("app"));
        assert_eq!((bytes("trash"), bytes("uploads")), (du_of(&root.join(layout::TRASH)), du_of(&uploads)));
        assert_eq!(bytes("trash") + bytes("own"), du_of(&root.join(layout::OWN)));
        let registrys = root.join("docker");
        assert_eq!(bytes("blobs"), allocated(&registrys, &["-type", "f", "-path", "*/blobs/*", "-name", "data"]));
        assert_eq!(bytes("links"), allocated(&registrys, &["-type", "f", "-name", "link"]));
        let is_directory = ["-type", "d", "-not", "-path", "*/_uploads*"];
        let of_root = allocated(&root, &["-maxdepth", "0"]);
        assert_eq!(bytes("directories"), allocated(&registrys, &is_directory) + of_root);
        assert!(parts.iter().all(|part| *part == "directories" || bytes(part) > 0), "{usage}");

        let shown = regc(["du", "--disk-usage", "--root", root.to_str().unwrap()]).stdout;
        let files = usage["total"]["entries"].as_u64().unwrap();
        assert!(shown.lines().last().unwrap().ends_with(&format!("{files}  (in total, as `du -s`)")), "{shown}");
        assert_eq!(shown.lines().count(), 1 + parts.len() + 1, "{shown}");
    }
}

#[test]
fn a_bucket_takes_up_no_disk() {
    let directory = tempfile::tempdir().unwrap();
    let bucket = "{s3: {bucket: b, region: r, regionendpoint: 'http://127.0.0.1:1', accesskey: a, secretkey: s}}";
    let config = crate::config(&directory, bucket, "");
    let run = regc(["du", "--disk-usage", config.to_str().unwrap()]);
    assert!(run.code == 1 && run.stdout.is_empty(), "{}", run.stdout);
    assert_eq!(run.stderr, "regc: the store is in a bucket; only a file system has blocks to count\n");
    assert_eq!(regc(["du", "--disk-usage", "--tags", config.to_str().unwrap()]).code, 2);
}

#[test]
fn repositories_are_listed_in_the_order_that_is_asked_for_and_the_sum_is_that_of_all() {
    let mut registry = TestRegistry::new();
    registry.image("small:v10").layers(["s"]).push();
    registry.image("small:v2").layers(["s"]).push();
    registry.image("large:v1").layers(["a name that is long, and so is its content"]).push();
    registry.layer("small", "garbage");
    let root = registry.on_disk();
    let all = du(root.path(), &[]);
    let sum = all.last().unwrap();
    for (arguments, expected) in [
        (&["--sort", "pulled"][..], &["large", "small"][..]),
        (&["--sort", "garbage"], &["small", "large"]),
        (&["--sort", "name"], &["large", "small"]),
        (&["--sort", "garbage", "--top", "1"], &["small"]),
        (&["--top", "0"], &[]),
    ] {
        let lines = du(root.path(), arguments);
        let names = lines.iter().filter(|line| line["type"] == "repository").map(|line| &line["repository"]);
        assert_eq!(names.collect::<Vec<_>>(), expected, "{arguments:?}");
        assert_eq!(lines.last().unwrap(), sum, "{arguments:?}");
    }
    let people = regc(["du", "--sort", "garbage", "--top", "1", "--root", root.path().to_str().unwrap()]).stdout;
    assert!(people.contains("and 1 more repository (without --top)"), "{people}");
}
