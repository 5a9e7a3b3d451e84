//! Tags that programs make for a manifest, and that belong to it by their names.

use crate::digest::{Algorithm, Digest};

/// The largest number of a digest's digits that the name of a referrers tag holds.
///
/// Source: OCI distribution specification 1.1, "Referrers Tag Schema".
const MAX_DIGITS: usize = 64;

/// Returns the manifest that a tag belongs to by its name, unless it names that manifest itself. Programs make such
/// tags: cosign's `sha256-<hex>.sig`, `.att` and `.sbom`, and the referrers tag of the OCI distribution specification
/// 1.1, `sha256-<hex>`.
///
/// A digest that is longer than the specification allows is found among `long` by its first digits.
pub fn attached_to(tag: &str, long: &[Digest]) -> Option<Digest> {
    let (algorithm, hex) = digest_in(tag)?;
    if is_cut(algorithm, hex) {
        return long.iter().find(|digest| digest.algorithm() == algorithm && digest.hex().starts_with(hex)).copied();
    }
    Digest::from_hex(algorithm, hex)
}

/// Whether the referrers tag of a digest holds only its first digits.
pub fn is_long(digest: &Digest) -> bool {
    digest.algorithm().bytes() * 2 > MAX_DIGITS
}

/// Whether it is the referrers tag of a digest that is longer than such a tag may be: it holds the first 64 digits.
pub fn is_abbreviated(tag: &str) -> bool {
    digest_in(tag).is_some_and(|(algorithm, hex)| is_cut(algorithm, hex))
}

fn is_cut(algorithm: Algorithm, hex: &str) -> bool {
    let is_cut = hex.len() == MAX_DIGITS && algorithm.bytes() * 2 > MAX_DIGITS;
    is_cut && hex.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// Returns the algorithm and the digits in the name of a tag that programs make.
fn digest_in(tag: &str) -> Option<(Algorithm, &str)> {
    let (algorithm, rest) = tag.split_once('-')?;
    Some((Algorithm::from_name(algorithm)?, rest.split_once('.').map_or(rest, |(hex, _)| hex)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attachment_tags_name_their_manifest() {
        let digest = Digest::of(Algorithm::Sha256, b"");
        let name = format!("sha256-{}", digest.hex());
        for end in ["", ".sig", ".att", ".sbom"] {
            assert_eq!(attached_to(&format!("{name}{end}"), &[]), Some(digest), "{end}");
        }
        assert!(!is_abbreviated(&name) && !is_long(&digest), "it is whole");
        for tag in ["v1", "sha256-1234", "sha256-", &name[..70], &format!("{name}0"), &format!("{name}-arm64")] {
            assert_eq!(attached_to(tag, &[digest]), None, "{tag}");
            assert!(!is_abbreviated(tag), "{tag}");
        }
    }

    #[test]
    fn a_long_digest_is_found_by_its_first_digits() {
        let long = [Algorithm::Sha384, Algorithm::Sha512].map(|algorithm| Digest::of(algorithm, b"x"));
        for digest in long {
            let tag = format!("{}-{}", digest.algorithm().name(), &digest.hex()[..64]);
            assert!(is_long(&digest) && is_abbreviated(&tag));
            assert_eq!(attached_to(&tag, &long), Some(digest));
            assert_eq!(attached_to(&tag, &[]), None);
            assert_eq!(attached_to(&tag[..70], &long), None, "too short");
        }
    }
}
