//! What commands print with `--format json` is what docs/json.schema.json describes.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Formatter};
use std::fs::{self, File};
use std::net::TcpListener;
use std::path::Path;
use std::time::{Duration, SystemTime};

use fastrand::Rng;
use jsonschema::Validator;
use regc_core::registry::layout;
use regc_testkit::generate::{self, Features};
use regc_testkit::{TestRegistry, files_below, layer, soak};
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::common::{Run, regc};
use crate::{config, damaged, registry};

fn text() -> String {
    fs::read_to_string(crate::project().join("docs/json.schema.json")).unwrap()
}

fn document() -> Value {
    serde_json::from_str(&text()).unwrap()
}

/// Returns a validator of one definition.
fn validator(document: &Value, name: &str) -> Validator {
    let alone = json!({ "$ref": format!("#/$defs/{name}"), "$defs": document["$defs"] });
    jsonschema::draft202012::new(&alone).unwrap()
}

/// JSON whose fields keep their order.
enum Ordered {
    Object(Vec<(String, Ordered)>),
    Array(Vec<Ordered>),
    Single,
    Text(String),
}

impl<'de> Deserialize<'de> for Ordered {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Ordered;

            fn expecting(&self, f: &mut Formatter<'_>) -> fmt::Result {
                f.write_str("JSON")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Ordered, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(Ordered::Object(fields))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Ordered, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = sequence.next_element()? {
                    items.push(item);
                }
                Ok(Ordered::Array(items))
            }

            fn visit_str<E>(self, text: &str) -> Result<Ordered, E> {
                Ok(Ordered::Text(text.to_owned()))
            }

            fn visit_bool<E>(self, _: bool) -> Result<Ordered, E> {
                Ok(Ordered::Single)
            }

            fn visit_u64<E>(self, _: u64) -> Result<Ordered, E> {
                Ok(Ordered::Single)
            }

            fn visit_unit<E>(self) -> Result<Ordered, E> {
                Ok(Ordered::Single)
            }
        }
        deserializer.deserialize_any(Any)
    }
}

impl Ordered {
    fn get(&self, name: &str) -> Option<&Self> {
        let Self::Object(fields) = self else { return None };
        fields.iter().find(|(field, _)| field == name).map(|(_, value)| value)
    }

    /// Whether the value has the fields that its schema lists, in that order.
    fn is_in_order(&self, schema: &Self, definitions: &Self) -> bool {
        if let Some(Self::Text(name)) = schema.get("$ref") {
            let definition = name.strip_prefix("#/$defs/").and_then(|name| definitions.get(name));
            return self.is_in_order(definition.unwrap(), definitions);
        }
        if let Some(Self::Array(alternatives)) = schema.get("anyOf").or(schema.get("oneOf")) {
            return alternatives.iter().any(|schema| self.is_in_order(schema, definitions));
        }
        match (self, schema.get("properties"), schema.get("items")) {
            (Self::Object(fields), Some(Self::Object(listed)), _) => {
                let is_in_order = |((name, value), (listed, schema)): (&(String, Self), &(String, Self))| {
                    name == listed && value.is_in_order(schema, definitions)
                };
                fields.len() == listed.len() && fields.iter().zip(listed).all(is_in_order)
            }
            (Self::Object(_), ..) => false,
            (Self::Array(items), _, schema) => {
                items.iter().all(|item| schema.is_some_and(|schema| item.is_in_order(schema, definitions)))
            }
            (Self::Single | Self::Text(_), ..) => true,
        }
    }
}

/// The schema, and what of it was met.
struct Schema {
    document: Value,
    ordered: Ordered,
    time: Validator,
    whole: Validator,
    records: BTreeMap<String, Validator>,
    /// The records, each by a command that printed it, and by its type.
    met: BTreeSet<(String, String)>,
}

impl Schema {
    fn new() -> Self {
        let document = document();
        let whole = jsonschema::draft202012::new(&document).unwrap();
        let records = records(&document).map(|name| (name.to_owned(), validator(&document, name))).collect();
        let ordered = serde_json::from_str(&text()).unwrap();
        let time = validator(&document, "time");
        Self { document, ordered, time, whole, records, met: BTreeSet::new() }
    }

    /// Runs a command, and checks each line that it prints. Returns them.
    fn run(&mut self, command: &str, arguments: &[&str]) -> Vec<Value> {
        let words: Vec<&str> =
            command.split(' ').chain(arguments.iter().copied()).chain(["--format", "json"]).collect();
        let Run { code, stdout, stderr } = regc(&words);
        assert!(code != 2 && !stdout.is_empty(), "{words:?}: {stderr}");
        stdout.lines().map(|line| self.check(command, line)).collect()
    }

    /// Checks that everything that is a time has the form of the schema, and that no number is one.
    fn check_times(&self, value: &Value, line: &str) {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
        match value {
            Value::Object(fields) => fields.values().for_each(|field| self.check_times(field, line)),
            Value::Array(items) => items.iter().for_each(|item| self.check_times(item, line)),
            Value::String(text) => {
                let is_time = text.len() > 10 && text[..4].parse::<u32>().is_ok() && text.get(10..11) == Some("T");
                assert!(!is_time || self.time.is_valid(value), "{text}: {line}");
            }
            Value::Number(number) => {
                let seconds = number.as_u64().unwrap();
                assert!(seconds.abs_diff(now) > 400 * 86_400, "seconds since 1970: {line}");
            }
            Value::Null | Value::Bool(_) => {}
        }
    }

    fn check(&mut self, command: &str, line: &str) -> Value {
        assert!(line.starts_with("{\"type\":\""), "type is first: {line}");
        let value: Value = serde_json::from_str(line).unwrap();
        let matching: Vec<&String> =
            self.records.iter().filter(|(_, validator)| validator.is_valid(&value)).map(|(name, _)| name).collect();
        let [record] = matching[..] else {
            let types = |name: &str| types(&self.document["$defs"][name]);
            let errors = self.records.iter().filter(|(name, _)| types(name).contains(&value["type"])).map(
                |(name, validator)| {
                    let errors =
                        validator.iter_errors(&value).map(|error| format!("{}: {error}", error.instance_path()));
                    format!("{name}: {}", errors.collect::<Vec<_>>().join("; "))
                },
            );
            panic!("regc {command} prints {line}\nwhich is {matching:?}: {:#?}", errors.collect::<Vec<_>>());
        };
        assert!(self.whole.is_valid(&value), "{line}");
        let definitions = self.ordered.get("$defs").unwrap();
        let fields: Ordered = serde_json::from_str(line).unwrap();
        let is_in_order = fields.is_in_order(definitions.get(record).unwrap(), definitions);
        assert!(is_in_order, "the fields are not in the order of the schema: {line}");
        self.check_times(&value, line);
        let printing = printing(&self.document["$defs"][record]);
        assert!(printing.contains(command), "regc {command} is not described to print a {record}: {line}");
        if self.met.insert((record.clone(), command.to_owned())) {
            each_with_unknown_field(&value, &mut |changed| {
                assert!(!self.whole.is_valid(changed), "an unknown field is accepted: {changed}");
            });
        }
        self.met.insert((record.clone(), value["type"].to_string()));
        value
    }
}

/// Returns the names of the records that are lines by themselves.
fn records(document: &Value) -> impl Iterator<Item = &str> {
    document["oneOf"]
        .as_array()
        .unwrap()
        .iter()
        .map(|record| record["$ref"].as_str().unwrap())
        .map(|name| name.strip_prefix("#/$defs/").unwrap())
}

/// Returns the types that a record may have.
fn types(record: &Value) -> Vec<Value> {
    match &record["properties"]["type"] {
        Value::Object(one) if one.contains_key("const") => vec![one["const"].clone()],
        several => several["enum"].as_array().unwrap().clone(),
    }
}

/// Returns the commands that print a record, with which its description begins.
fn printing(record: &Value) -> BTreeSet<&str> {
    let (commands, _) = record["description"].as_str().unwrap().split_once(": ").unwrap();
    commands.split(", ").map(|command| command.strip_prefix("regc ").unwrap().split(" --").next().unwrap()).collect()
}

/// Calls `visit` with the value, changed so that one of the objects in it has one field more, for each of them.
fn each_with_unknown_field(value: &Value, visit: &mut dyn FnMut(&Value)) {
    fn pointers(value: &Value, at: &str, found: &mut Vec<String>) {
        match value {
            Value::Object(fields) => {
                found.push(at.to_owned());
                fields.iter().for_each(|(name, field)| pointers(field, &format!("{at}/{name}"), found));
            }
            Value::Array(items) => {
                items.iter().enumerate().for_each(|(number, item)| pointers(item, &format!("{at}/{number}"), found));
            }
            _ => {}
        }
    }
    let mut found = Vec::new();
    pointers(value, "", &mut found);
    for pointer in found {
        let mut changed = value.clone();
        changed.pointer_mut(&pointer).unwrap()["unknown"] = json!(1);
        visit(&changed);
    }
}

/// Writes a store with something of everything: damage, what was deleted, attachments, uploads, and what other programs leave.
fn store() -> TempDir {
    let mut registry = damaged();
    // As registry 2.0 to 2.3 signed, and as the registry of the ORAS project links a referrer.
    let layer_of_signed = registry.layer("team/app", "signed");
    let signed = format!(r#"{{"schemaVersion":1,"name":"team/app","fsLayers":[{{"blobSum":"{layer_of_signed}"}}]}}"#);
    let signed = registry.manifest("team/app", signed);
    let signature = registry.blob("signature");
    registry.put(layout::signature_link("team/app", &signed, &signature), signature.to_string());
    let referrer = registry.image("team/app:referrer").layers(["referrer"]).push();
    let [refs, _] = layout::referrers("team/app");
    let link = format!("{refs}/subjects/sha256/{}/sha256/{}/link", signed.hex(), referrer.hex());
    registry.put(link, referrer.to_string());
    registry.upload("team/app", "abandoned");
    registry.upload("empty", "abandoned");
    let platforms = ["amd64", "arm64"].map(|name| registry.image("team/multi").layers([name]).push());
    let index = registry.index("team/multi:v1").manifests(platforms).push();
    registry.image("team/multi").layers(["sbom"]).subject(index).created("2026-01-02T03:04:05Z").push();
    let deleted = registry.image("orphans:v1").layers(["c"]).push();
    registry.image(&format!("orphans:sha256-{}.sig", deleted.hex())).layers(["signature"]).push();
    registry.delete("orphans", &deleted);
    let unknown = registry.manifest("orphans:v2", "no manifest");
    registry.delete("orphans", &unknown);
    // Manifests whose directory is gone: a tag's index has one of them, and the other's content is there.
    for reference in ["orphans:v3", "orphans"] {
        let manifest = registry.image(reference).layers([reference]).push();
        registry.remove(&layout::revision_link("orphans", &manifest));
    }
    registry.image("orphans:v3").layers(["d"]).push();
    for directory in [layout::blob(&layer("base")), layout::revision("team/multi", &index)] {
        let name = if directory.contains("/blobs/") { ".data.Xy12Za" } else { ".link.Xy12Za" };
        registry.put(format!("{directory}/{name}"), "the first half");
    }
    registry.put(layout::tag_link("other", "garbled"), "");
    let root = registry.on_disk();
    age(root.path());
    root
}

/// Makes everything in a store a month old.
fn age(root: &Path) {
    let then = SystemTime::now() - Duration::from_secs(30 * 86_400);
    for file in files_below(root) {
        File::open(root.join(file)).unwrap().set_modified(then).unwrap();
    }
}

/// Puts a directory in place of a file, which then can be neither removed nor written, not even by root.
fn obstruct(root: &Path, key: &str) {
    fs::remove_file(root.join(key)).ok();
    fs::create_dir_all(root.join(key).join("full")).unwrap();
}

fn removals(schema: &mut Schema) {
    let everything = ["-m", "--tidy", "--allow-mostly-untagged"];
    for (command, arguments) in [
        ("gc", &["--dry-run"][..]),
        ("gc", &["--quiet"]),
        ("gc", &["-m", "--min-age", "24h", "--repository", "team/*"]),
        ("gc", &everything),
        ("gc", &[&everything[..], &["--trash"]].concat()),
        ("rm", &["--dry-run", "team/app", "other:garbled"]),
        ("rm", &["--yes", "--trash", "**"]),
        ("rm", &["--yes", "--no-gc", "hurt:v1"]),
        ("prune", &["--dry-run", "--explain", "--keep", "1"]),
        ("prune", &["--yes", "--keep", "0", "--orphans", "7d"]),
        ("prune", &["--yes", "--trash", "--keep-daily", "1"]),
    ] {
        let root = store();
        let at = ["--root", root.path().to_str().unwrap()];
        schema.run(command, &[arguments, &at].concat());
        // A second run finds what the first has left in the trash.
        schema.run("gc", &[&["--allow-empty"][..], &at].concat());
    }
    let root = store();
    let at = ["--dry-run", "--explain", "--root", root.path().to_str().unwrap()];
    for options in [
        &["--keep", "all"][..],
        &["--keep-within", "9w"],
        &["--keep-hourly", "1"],
        &["--keep-daily", "1"],
        &["--keep-weekly", "1"],
        &["--keep-monthly", "1"],
        &["--keep-yearly", "1"],
        &["--keep", "0", "--keep-tag", "^v", "--orphans", "7d"],
        &["--keep", "0", "--only-tag", "^none$"],
        &["--keep", "1", "--by", "semver"],
        &["--keep", "1", "--by", "created"],
    ] {
        schema.run("prune", &[options, &at].concat());
    }
    for (command, arguments, name) in [
        ("gc", &[][..], "deleted"),
        ("rm", &["--yes", "team/app"], "deleted"),
        ("prune", &["--yes", "--keep", "0"], "new"),
    ] {
        let root = store();
        obstruct(root.path(), &layout::layer_link("team/app", &layer(name)));
        let lines = schema.run(command, &[arguments, &["--root", root.path().to_str().unwrap()]].concat());
        assert_eq!(lines.last().unwrap()["failures"], 1, "{command}");
    }
}

fn plans(schema: &mut Schema) {
    for (command, arguments) in [
        ("gc", &["-m", "--tidy", "--allow-mostly-untagged"][..]),
        ("rm", &["team/app"]),
        ("prune", &["--keep", "0", "--explain"]),
    ] {
        let (root, directory) = (store(), tempfile::tempdir().unwrap());
        let plan = directory.path().join("plan.jsonl");
        let plan = plan.to_str().unwrap();
        let at = ["--dry-run", "--plan-out", plan, "--root", root.path().to_str().unwrap()];
        schema.run(command, &[arguments, &at].concat());
        // Since then, something has gone, something is new, and something cannot be removed.
        fs::remove_file(root.path().join(layout::layer_link("team/app", &layer("deleted")))).ok();
        let mut since = TestRegistry::new();
        since.image("team/app:since").layers(["since"]).push();
        since.layer("team/app", "garbage since");
        since.write_to(root.path());
        age(root.path());
        obstruct(root.path(), &layout::layer_link("team/app", &layer(if command == "gc" { "old" } else { "new" })));
        schema.run("apply", &[plan, "--yes"]);
    }
}

fn policies(schema: &mut Schema) {
    let directory = tempfile::tempdir().unwrap();
    let policy = directory.path().join("retention.yml");
    let path = policy.to_str().unwrap();
    for rules in [
        "[{repositories: '**', keep: 1}, {repositories: app, keep: all}]",
        "[{repositories: app, keep: -}]",
        "[{repositories: app}]",
        "[",
    ] {
        fs::write(&policy, format!("version: 1\nrules: {rules}\n")).unwrap();
        schema.run("prune", &["--check-policy", path]);
    }
    let root = store();
    fs::write(&policy, "version: 1\nrules: [{repositories: team/*, keep: 0}]\n").unwrap();
    schema.run("prune", &["--dry-run", "--explain", "--policy", path, "--root", root.path().to_str().unwrap()]);
}

fn inspections(schema: &mut Schema) {
    let (root, sound) = (store(), registry().on_disk());
    for root in [root.path(), sound.path()] {
        inspect(schema, root);
    }
}

/// Runs all commands that only look.
fn inspect(schema: &mut Schema, root: &Path) {
    for (command, arguments) in [
        ("gc", &["--dry-run", "-m", "--tidy", "--allow-mostly-untagged", "--allow-missing"][..]),
        ("verify", &[]),
        ("verify", &["--quiet"]),
        ("verify", &["--notes", "--content"]),
        ("repair", &["--allow-missing"]),
        ("repair", &["--drop-lost", "--allow-missing"]),
        ("du", &[]),
        ("du", &["--tags", "--by-namespace", "--files"]),
        ("du", &["--disk-usage"]),
        ("report", &[]),
        ("ls", &[]),
        ("ls", &["--tags-only"]),
        ("ls", &["--tree"]),
        ("undelete", &["--all-since", "9w", "--dry-run"]),
    ] {
        schema.run(command, &[arguments, &["--root", root.to_str().unwrap()]].concat());
    }
    for kind in ["--untagged", "--deleted"] {
        let run = regc(["ls", kind, "--json", "--root", root.to_str().unwrap()]);
        assert_eq!(run.code, 0, "{}", run.stderr);
        run.stdout.lines().for_each(|line| drop(schema.check("ls", line)));
    }
}

fn repairs(schema: &mut Schema) {
    let backup = store();
    let root = store();
    let at = ["--root", root.path().to_str().unwrap()];
    let data = root.path().join(layout::blob_data(&layer("amd64")));
    fs::write(&data, "cut off").unwrap();
    schema.run("repair", &[&["--content"][..], &at].concat());
    schema.run("repair", &[&["--content", "--apply"][..], &at].concat());
    schema.run("repair", &[&["--apply", "--from", backup.path().to_str().unwrap()][..], &at].concat());

    // The directory of the content that is taken cannot be created.
    let root = store();
    let blob = root.path().join(layout::blob(&layer("lost")));
    fs::create_dir_all(blob.parent().unwrap()).unwrap();
    fs::write(&blob, "no directory").unwrap();
    let at = ["--root", root.path().to_str().unwrap()];
    let mut whole = TestRegistry::new();
    whole.image("hurt:v1").layers(["lost"]).push();
    let backup = whole.on_disk();
    schema.run("repair", &[&["--apply", "--from", backup.path().to_str().unwrap()][..], &at].concat());

    // The cache of a registry that is running, and one in Redis that cannot be reached.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (root, directory) = (store(), tempfile::tempdir().unwrap());
    let storage = format!(
        "{{filesystem: {{rootdirectory: {}}}, cache: {{blobdescriptor: inmemory}}, maintenance: {{readonly: {{enabled: true}}}}}}",
        root.path().display()
    );
    let running = config(&directory, &storage, &format!("http: {{addr: '{}'}}", listener.local_addr().unwrap()));
    let lines = schema.run("gc", &["--config", running.to_str().unwrap()]);
    assert_eq!(lines.last().unwrap()["stale_cache"]["kind"], "in_memory");
    let mut registry = registry();
    registry.put(layout::blob_data(&layer("base")), "cut off");
    let (root, directory) = (registry.on_disk(), tempfile::tempdir().unwrap());
    let storage = format!(
        "{{filesystem: {{rootdirectory: {}}}, cache: {{blobdescriptor: redis}}, maintenance: {{readonly: {{enabled: true}}}}}}",
        root.path().display()
    );
    let config = config(&directory, &storage, "redis: {addr: '127.0.0.1:1'}");
    let config = ["--config", config.to_str().unwrap()];
    let lines = schema.run("repair", &[&["--apply", "--content"][..], &config].concat());
    assert_eq!(lines.last().unwrap()["stale_cache"]["kind"], "redis");
    schema.run("gc", &config);
    let report = directory.path().join("run.jsonl");
    fs::write(&report, regc([&["gc", "-m", "--dry-run", "--json"][..], &config].concat()).stdout).unwrap();
    schema.run("cache evict", &[&["--dry-run", "--from", report.to_str().unwrap()][..], &config].concat());
}

fn undeletions(schema: &mut Schema) {
    let mut registry = TestRegistry::new();
    let whole = registry.image("app:v1").layers(["a"]).push();
    let lost = registry.image("app:v2").layers(["lost"]).push();
    let index = registry.index("app:v3").manifests([whole, layer("absent")]).push();
    registry.image("app:v4").layers(["b"]).push();
    for digest in [whole, lost, index] {
        registry.delete("app", &digest);
    }
    registry.remove(&layout::blob_data(&layer("lost")));
    let root = registry.on_disk();
    let at = ["--root", root.path().to_str().unwrap()];
    let name = format!("app@{whole}");
    schema.run("undelete", &[&["--dry-run", &name, "--tag", "v1"][..], &at].concat());
    schema.run("undelete", &[&["--quiet", "--all-since", "2h", "--dry-run"][..], &at].concat());
    schema.run("undelete", &[&["--all-since", "2h"][..], &at].concat());
    // A link cannot be written where a directory is.
    let root = registry.on_disk();
    obstruct(root.path(), &layout::tag_link("app", "v1"));
    schema.run("undelete", &[&name, "--tag", "v1", "--root", root.path().to_str().unwrap()]);
}

fn trash(schema: &mut Schema) {
    let root = store();
    let at = ["--root", root.path().to_str().unwrap()];
    let with = |arguments: &[&str]| arguments.iter().copied().chain(at).map(str::to_owned).collect::<Vec<_>>();
    let mut run = |command: &str, arguments: &[&str]| {
        let arguments = with(arguments);
        schema.run(command, &arguments.iter().map(String::as_str).collect::<Vec<_>>())
    };
    run("gc", &["--trash", "-m", "--tidy", "--allow-mostly-untagged"]);
    run("rm", &["--trash", "--yes", "other"]);
    let first = run("trash list", &[])[0]["run"].as_str().unwrap().to_owned();
    let in_trash = root.path().join(".regc/trash").join(&first);
    // The registry has something again, another image has the tag, a file is in the place of a directory, and content is lost.
    let again = layout::blob_data(&layer("old"));
    fs::create_dir_all(root.path().join(&again).parent().unwrap()).unwrap();
    fs::copy(in_trash.join(&again), root.path().join(&again)).unwrap();
    fs::remove_file(in_trash.join(layout::blob_data(&layer("deleted")))).unwrap();
    let tag = root.path().join(layout::tag_link("other", "v1"));
    fs::create_dir_all(tag.parent().unwrap()).unwrap();
    fs::write(&tag, layer("base").to_string()).unwrap();
    fs::create_dir_all(root.path().join(layout::layers("other"))).unwrap();
    fs::write(root.path().join(layout::layers("other")).join("sha256"), "no directory").unwrap();
    run("trash restore", &["--dry-run"]);
    let restored = run("trash restore", &[]);
    assert!(restored.iter().any(|line| line["type"] == "failure" && line["causes"][0].is_string()), "{restored:?}");
    run("trash restore", &[&first]);
    run("trash list", &[]);
    run("trash list", &[&first]);
    fs::write(in_trash.join("journal.jsonl"), "garbled").unwrap();
    run("trash list", &[]);
    run("trash empty", &["--dry-run"]);
    run("trash empty", &[]);
}

/// Empties the trash of a registry that ran meanwhile, and uses again what was moved there.
fn emptied(schema: &mut Schema) {
    let mut registry = registry();
    let image = registry.image("app:v1").layers(["a"]).push();
    registry.delete("app", &image);
    let root = registry.on_disk();
    let at = ["--root", root.path().to_str().unwrap()];
    let run = schema.run("gc", &[&["--trash"][..], &at].concat()).last().unwrap()["trashed_as"].clone();
    let journal = root.path().join(".regc/trash").join(run.as_str().unwrap()).join("journal.jsonl");
    let live = fs::read_to_string(&journal).unwrap().replace("\"live\":false", "\"live\":true");
    fs::write(&journal, live).unwrap();
    let link = root.path().join(layout::revision_link("app", &image));
    fs::create_dir_all(link.parent().unwrap()).unwrap();
    fs::write(&link, image.to_string()).unwrap();
    schema.run("trash empty", &at);
}

/// What no test can bring about: root can delete every run in the trash of a disk that works.
const UNREACHABLE: (&str, &str) = ("failure", "trash empty");

/// Every line of every command is a record of the schema, and every record is printed by the commands that it names.
#[test]
fn output_is_as_the_schema_describes() {
    let mut schema = Schema::new();
    for run in [removals, plans, policies, inspections, repairs, undeletions, trash, emptied] {
        run(&mut schema);
    }
    let described = records(&schema.document).flat_map(|record| {
        let described = &schema.document["$defs"][record];
        let types = types(described).into_iter().map(|name| name.to_string());
        let printed = printing(described).into_iter().map(str::to_owned).chain(types);
        printed.map(move |printed| (record.to_owned(), printed))
    });
    let never_met: Vec<_> = described
        .filter(|(record, printed)| (&**record, &**printed) != UNREACHABLE)
        .filter(|described| !schema.met.contains(described))
        .collect();
    assert!(never_met.is_empty(), "no command prints {never_met:#?}");
}

#[test]
fn output_on_random_stores_is_as_the_schema_describes() {
    let mut schema = Schema::new();
    for seed in 0..8 {
        let root = generate::registry(seed, Features { referrers: true, partial_repositories: true }).on_disk();
        inspect(&mut schema, root.path());
        let store = soak::store::Store::new(seed);
        store.damage(&mut Rng::with_seed(seed), 10);
        inspect(&mut schema, &store.root());
    }
}

/// Returns every object below `value` that describes something, with where it is.
fn descriptions<'v>(value: &'v Value, at: &str, found: &mut Vec<(String, &'v Value)>) {
    match value {
        Value::Object(fields) => {
            found.push((at.to_owned(), value));
            fields.iter().for_each(|(name, field)| descriptions(field, &format!("{at}/{name}"), found));
        }
        Value::Array(items) => items.iter().for_each(|item| descriptions(item, at, found)),
        _ => {}
    }
}

#[test]
fn the_schema_is_closed_described_and_used() {
    let document = document();
    let mut found = Vec::new();
    descriptions(&document, "", &mut found);
    let definitions = document["$defs"].as_object().unwrap();
    let references = found.iter().filter_map(|(_, value)| value["$ref"].as_str());
    let used: BTreeSet<&str> = references.map(|name| name.strip_prefix("#/$defs/").unwrap()).collect();
    assert_eq!(used, definitions.keys().map(String::as_str).collect());
    let page = fs::read_to_string(crate::project().join("docs/json.md")).unwrap();
    for (at, value) in found {
        if let Some(properties) = value["properties"].as_object() {
            assert_eq!(value["additionalProperties"], false, "{at}");
            let required = value["required"].as_array().unwrap();
            for (name, property) in properties {
                let is_described = ["description", "const", "$ref"].iter().any(|key| property.get(key).is_some());
                assert!(is_described || name == "type", "{at}: {name}");
                assert!(required.contains(&json!(name)), "{at}: {name} is null where there is none, not absent");
                let shown = [format!("`{name}`"), format!("\"{name}\""), format!(".{name}`")];
                assert!(
                    shown.iter().any(|shown| page.contains(shown)),
                    "docs/json.md does not describe {name}, of {at}"
                );
            }
        }
        for name in value["enum"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            let shown = [format!("`{name}`"), format!("\"{name}\"")];
            assert!(shown.iter().any(|shown| page.contains(shown)), "docs/json.md does not describe {name}, of {at}");
        }
    }
    assert!(definitions.values().all(|definition| definition["description"].is_string()));
}

#[test]
fn digests_and_times_have_one_form() {
    let document = document();
    let hex = "0".repeat(64);
    for (name, value, expected) in [
        ("digest", format!("sha256:{hex}"), true),
        ("digest", format!("sha512:{hex}{hex}"), true),
        ("digest", format!("sha512:{hex}"), false),
        ("digest", format!("sha256:{}", "A".repeat(64)), false),
        ("digest", hex, false),
        ("time", "2026-11-21T03:15:02Z".to_owned(), true),
        ("time", "2026-11-21T03:15:02.5Z".to_owned(), false),
        ("time", "2026-11-21T03:15:02+01:00".to_owned(), false),
        ("run", "20261121T031502123456Z-4711".to_owned(), true),
        ("run", "../4711".to_owned(), false),
    ] {
        assert_eq!(validator(&document, name).is_valid(&json!(value)), expected, "{name}: {value}");
    }
}
