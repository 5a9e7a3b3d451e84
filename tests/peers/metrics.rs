//! Metrics, as Prometheus' own client reads them.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::common::regc;

/// Reads a file of metrics, and returns each as its name, labels and value.
fn parse(file: &Path) -> Value {
    const PROGRAM: &str = "
import json, sys
from prometheus_client.parser import text_string_to_metric_families
families = list(text_string_to_metric_families(open(sys.argv[1]).read()))
assert all(family.type == 'gauge' and family.documentation for family in families)
print(json.dumps([[sample.name, sample.labels, sample.value] for family in families for sample in family.samples]))
";
    let python = std::env::var("PROMETHEUS_PYTHON").unwrap_or_else(|_| {
        panic!(
            "PROMETHEUS_PYTHON does not name a Python with prometheus_client, and this test is worth nothing without it: \
             `pip install prometheus_client`, or run .ci/run"
        )
    });
    let run = Command::new(python).args(["-c", PROGRAM]).arg(file).output().unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    serde_json::from_slice(&run.stdout).unwrap()
}

#[test]
fn client_of_prometheus_reads_all_metrics_that_dashboard_and_alerts_use() {
    let directory = tempfile::tempdir().unwrap();
    // A name that must be escaped.
    let root = directory.path().join("a \"store\" \\ of\nmany");
    fs::create_dir(&root).unwrap();
    let mut registry = regc_testkit::TestRegistry::new();
    registry.image("app:v1").layers(["old"]).push();
    registry.image("app:v1").layers(["new"]).push();
    registry.manifest("hurt:v1", "{");
    registry.layer("app", "garbage");
    registry.write_to(&root);
    let file = directory.path().join("regc.prom");
    let run = regc(["gc", "--metrics-file", file.to_str().unwrap(), "--root", root.to_str().unwrap()]);
    assert_eq!(run.code, 3, "{}", run.stderr);
    let samples = parse(&file);
    let samples = samples.as_array().unwrap();
    assert!(samples.iter().all(|sample| sample[1]["store"] == root.to_str().unwrap()), "{samples:?}");
    let names: Vec<&str> = samples.iter().map(|sample| sample[0].as_str().unwrap()).collect();
    for page in ["README.md", "alerts.yml", "grafana.json"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/monitoring").join(page);
        let text = fs::read_to_string(path).unwrap();
        let mut used: Vec<&str> = text.split(|c: char| !c.is_ascii_lowercase() && c != '_').collect();
        used.retain(|word| word.starts_with("regc_"));
        assert!(!used.is_empty());
        used.iter().for_each(|name| assert!(names.contains(name), "{page}: {name}"));
        assert!(page != "README.md" || names.iter().all(|name| used.contains(name)), "{names:?}");
    }
}
