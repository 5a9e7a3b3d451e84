//! How much of a store is on a page.

use std::time::SystemTime;

use regc_core::inspect::overview::Overview;
use regc_core::{Config, Silent, Store};
use regc_report::{Limits, Report, Shown, Trash, write};
use regc_testkit::TestRegistry;

/// Calls `look` with an overview of a store in memory.
fn with_overview(registry: &TestRegistry, look: impl FnOnce(&Overview<'_>)) {
    let store = Store::with_storage(&Config::at_root("/"), Box::new(registry.in_memory(true)));
    let scan = store.scan(&Silent).unwrap();
    look(&store.overview(&scan, &Silent).unwrap());
}

fn page(overview: &Overview<'_>, limits: Limits) -> (String, Shown) {
    let report = Report {
        overview,
        made: SystemTime::now(),
        store: "/var/lib/registry",
        config: None,
        option: "--root /var/lib/registry",
        would_free: &[],
        findings: &[],
        trash: Trash::default(),
        free_bytes: None,
        capacity_bytes: None,
    };
    let mut page = Vec::new();
    let shown = write(&report, limits, &mut page).unwrap();
    (String::from_utf8(page).unwrap(), shown)
}

#[test]
fn page_is_no_longer_than_its_limit() {
    let mut registry = TestRegistry::new();
    for number in 0..400 {
        registry.image(&format!("team/app{number}:v1")).layers([&*format!("layer {number}"), "base"]).push();
    }
    with_overview(&registry, |overview| {
        let (whole, shown) = page(overview, Limits::default());
        assert_eq!((shown.repositories, shown.of_repositories), (400, 400));
        let bytes = whole.len() - 10_000;
        let (cut, shown) = page(overview, Limits { bytes, ..Limits::default() });
        assert!(cut.len() <= bytes && cut.len() > bytes - 10_000, "{} of {bytes}", cut.len());
        assert!(shown.repositories < 400 && shown.repositories > 100, "{shown:?}");
        assert_eq!((shown.tags, shown.of_tags), (shown.repositories, 400));
        let (_, shown) = page(overview, Limits { bytes: 1, ..Limits::default() });
        assert_eq!(shown.repositories, 1);
    });
}

#[test]
fn names_are_not_in_the_page_as_text() {
    let mut registry = TestRegistry::new();
    registry.image("app:v1").layers(["base"]).push();
    let image = registry.image("app:v2").layers(["top"]).push();
    registry.put("docker/registry/v2/repositories/<script>alert(1)<&amp;/_manifests/revisions/sha256/x/link", "");
    registry.tag("app", "</script><script>alert(1)</script>{{style}}", &image);
    with_overview(&registry, |overview| {
        let (page, _) = page(overview, Limits::default());
        assert!(!page.contains("alert(1)"));
        assert_eq!(page.matches("</script>").count(), 3);
    });
}

#[test]
fn store_without_anything_has_a_page() {
    with_overview(&TestRegistry::new(), |overview| {
        let (page, shown) = page(overview, Limits::default());
        assert_eq!(shown, Shown::default());
        assert!(page.ends_with("</html>\n"));
    });
}
