//! Tags of images that belong to another manifest, by name or by `subject`.

use std::collections::BTreeMap;

use super::{digest, now, rule, said, tag};
use crate::digest::{Algorithm, Digest};
use crate::retention::{TagFacts, decide};

fn attached(name: &str, image: &str, subject: &str) -> TagFacts {
    TagFacts { subject: Some(digest(subject)), ..tag(name, image, 1000) }
}

#[test]
fn attachment_tags_are_exempt_from_the_rules() {
    let app = digest("app");
    for name in [
        format!("sha256-{}", app.hex()),
        format!("sha256-{}.sig", app.hex()),
        format!("sha256-{}.att", app.hex()),
        format!("sha256-{}.sbom", app.hex()),
    ] {
        let tags = [tag(&name, "signature", 0), tag("v1", "app", 9)];
        for text in ["keep: 1", "keep: 1, only-tag: ^v", "keep: 1, keep-tag: sha"] {
            let expected =
                [format!("+ {name} belongs to {app}"), "+ v1 is number 1 of the 1 most recently pushed".to_owned()];
            assert_eq!(said(text, &tags), expected);
        }
    }
    let longer = Digest::of(Algorithm::Sha512, b"app");
    let tags = [tag(&format!("sha512-{}.sig", longer.hex()), "signature", 0), tag("mine", "signature", 0)];
    assert_eq!(
        said("keep: 0", &tags)[1],
        format!("+ mine is the same image as {}, which belongs to {longer}", tags[0].tag)
    );
}

#[test]
fn old_tag_of_deleted_image_is_deleted_without_other_tags_of_its_manifest() {
    let app = digest("app");
    let name = format!("sha256-{}.sig", app.hex());
    let orphan = |days| {
        let facts = tag(&name, "signature", days);
        TagFacts { orphaned_since: Some(facts.pushed), ..facts }
    };
    let goes = format!("- {name} belongs to {app}, which was deleted, and was pushed more than 30d ago");
    let stays = format!("+ {name} belongs to {app}");
    for (text, days, expected) in [
        ("keep: all, orphans: 30d", 31, &goes),
        ("keep: 0, only-tag: ^v, orphans: 30d", 31, &goes),
        ("keep: all, orphans: 30d", 29, &stays),
        ("keep: 0", 31, &stays),
    ] {
        assert_eq!(said(text, &[orphan(days)])[..], *std::slice::from_ref(expected), "{text}");
    }
    let known = TagFacts { orphaned_since: None, ..orphan(31) };
    assert_eq!(said("keep: 0, orphans: 30d", &[known]), [stays]);
    let tags = [orphan(31), tag("mine", "signature", 31)];
    let expected = [goes, "+ mine is number 1 of the 1 most recently pushed".to_owned()];
    assert_eq!(said("keep: 1, orphans: 30d", &tags), expected);
}

#[test]
fn tags_that_only_resemble_attachment_tags_follow_the_rules() {
    let hex = digest("app").hex();
    for name in [
        format!("sha256-{}", &hex[1..]),
        format!("sha256-{hex}0"),
        format!("sha256-{hex}-arm64"),
        format!("sha512-{}", &hex[1..]),
        format!("sha256-{}", hex.to_uppercase()),
        format!("sha256:{hex}"),
        format!("md5-{}", &hex[..32]),
        format!("x-sha256-{hex}"),
        "sha256-é".to_owned(),
    ] {
        assert_eq!(said("keep: 0", &[tag(&name, "image", 9)]), [format!("- {name} is kept by no rule")]);
    }
    // A tag that names the very image whose digest is in its name.
    let own = tag(&format!("sha256-{hex}"), "app", 9);
    assert_eq!(said("keep: 0", &[own]), [format!("- sha256-{hex} is kept by no rule")]);
}

#[test]
fn attached_image_follows_its_owner() {
    let tags = [
        tag("v2", "new", 1),
        tag("v1", "old", 2),
        attached("v2-sbom", "new-sbom", "new"),
        attached("v1-sbom", "old-sbom", "old"),
        attached("v1-sbom-signature", "signature", "old-sbom"),
        attached("lost", "lost", "untagged"),
    ];
    let expected = [
        "+ v2 is number 1 of the 1 most recently pushed",
        "- v1 is number 2, not among the 1 most recently pushed",
        "+ v2-sbom is attached to v2, which is number 1 of the 1 most recently pushed",
        "- v1-sbom is attached to v1, which is number 2, not among the 1 most recently pushed",
        "- v1-sbom-signature is attached to v1, which is number 2, not among the 1 most recently pushed",
        "- lost is number 3, not among the 1 most recently pushed",
    ];
    assert_eq!(said("keep: 1", &tags), expected);
    let kept = said("keep: 0, keep-tag: ['^v1$', signature]", &tags);
    assert_eq!(kept[3], "+ v1-sbom is attached to v1, which matches keep-tag ^v1$");
    assert_eq!(kept[4], "+ v1-sbom-signature matches keep-tag signature");
    assert_eq!(kept[2], "- v2-sbom is attached to v2, which is kept by no rule");
    assert_eq!(said("keep: all", &tags)[2], "+ v2-sbom is attached to v2, which is kept, as all images are");
}

#[test]
fn tagged_platform_is_kept_or_deleted_with_its_index() {
    let part = |name: &str, image: &str, owners: &[&str]| TagFacts {
        owners: owners.iter().map(|owner| digest(owner)).collect(),
        ..tag(name, image, 1)
    };
    let tags = [
        tag("v2", "v2", 1),
        part("v2-amd64", "new amd64", &["v2"]),
        tag("v1", "v1", 2),
        part("v1-amd64", "old amd64", &["v1"]),
        part("tools", "both", &["v1", "v2"]),
        TagFacts { owners: vec![digest("v1")], ..attached("signature", "signature", "old amd64") },
    ];
    let (new, old) = ("is number 1 of the 1 most recently pushed", "is number 2, not among the 1 most recently pushed");
    let expected = [
        format!("+ v2 {new}"),
        format!("+ v2-amd64 is part of v2, which {new}"),
        format!("- v1 {old}"),
        format!("- v1-amd64 is part of v1, which {old}"),
        format!("+ tools is part of v2, which {new}"),
        format!("- signature is part of v1, which {old}"),
    ];
    assert_eq!(said("keep: 1", &tags), expected);
    assert_eq!(said("keep: 0, keep-tag: ^v1-amd64$", &tags)[3], "+ v1-amd64 matches keep-tag ^v1-amd64$");
    assert_eq!(said("keep: 0", &tags)[4][..1], *"-", "it goes with the last of them");
}

#[test]
fn images_attached_in_circle_stay() {
    let tags = [attached("a", "a", "b"), attached("b", "b", "a"), attached("c", "c", "a"), attached("d", "d", "d")];
    let circle = "belongs to a cycle of attached images";
    assert_eq!(said("keep: 0", &tags), ["+ a", "+ b", "+ c", "+ d"].map(|tag| format!("{tag} {circle}")));
    assert_eq!(said("keep: 0, keep-tag: b", &tags)[2], "+ c is attached to b, which matches keep-tag b");
}

#[test]
fn a_long_chain_of_attachments_is_followed() {
    let mut tags = vec![tag("0", "0", 0)];
    tags.extend((1..20_000).map(|at| attached(&at.to_string(), &at.to_string(), &(at - 1).to_string())));
    let decisions = decide(&rule("keep: 0"), &tags, &BTreeMap::new(), now());
    assert!(decisions.iter().all(|decision| !decision.keep));
    assert_eq!(decisions[19_999].reason.to_string(), "is attached to 0, which is kept by no rule");
}

#[test]
fn image_attached_through_untagged_manifests_follows_its_owner() {
    let between = BTreeMap::from([
        (digest("middle"), vec![digest("v1"), digest("v2")]),
        (digest("below"), vec![digest("middle")]),
    ]);
    let part = TagFacts { owners: vec![digest("below")], ..tag("part", "part", 1000) };
    let tags = [tag("v1", "v1", 2), tag("v2", "v2", 1), part];
    let reasons = |text: &str| {
        let decisions = decide(&rule(text), &tags, &between, now());
        let said = decisions.iter().map(|decision| (decision.keep, decision.reason.to_string()));
        said.collect::<Vec<_>>()
    };
    assert_eq!(
        reasons("keep: 1")[2],
        (true, "is part of v2, which is number 1 of the 1 most recently pushed".to_owned())
    );
    assert!(!reasons("keep: 0")[2].0, "it goes with the last of them");
}
