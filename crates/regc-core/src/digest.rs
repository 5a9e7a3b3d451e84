//! Content digests: `<algorithm>:<hex>`.
//!
//! A registry names everything by the hash of its content (OCI image specification, "Descriptors: Digests"). The
//! storage layout of distribution knows three algorithms, because its digest library does: sha256, in practice for
//! everything, and rarely sha384 or sha512.

use std::fmt;
use std::str::FromStr;

use sha2::Digest as _;

/// A hash algorithm that names content in a registry's storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Algorithm {
    /// SHA-256, the canonical algorithm: distribution stores what is pushed under it, whatever the client asked for.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
}

impl Algorithm {
    /// Every algorithm of the layout.
    pub const ALL: [Algorithm; 3] = [Algorithm::Sha256, Algorithm::Sha384, Algorithm::Sha512];

    /// Returns the name in digests and paths, for example `sha256`.
    pub const fn name(self) -> &'static str {
        match self {
            Algorithm::Sha256 => "sha256",
            Algorithm::Sha384 => "sha384",
            Algorithm::Sha512 => "sha512",
        }
    }

    /// Returns the length of a hash in bytes; its hexadecimal form is twice as long.
    pub const fn bytes(self) -> usize {
        match self {
            Algorithm::Sha256 => 32,
            Algorithm::Sha384 => 48,
            Algorithm::Sha512 => 64,
        }
    }

    /// Returns the algorithm of that name, which is lower case; `None` for any other.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.name() == name)
    }
}

/// The digest of some content: an algorithm and the bytes of its hash.
///
/// Its text form is always lower case, the only form that the registry accepts and that the layout uses.
///
/// ```
/// use regc_core::{Algorithm, Digest};
///
/// let digest: Digest = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855".parse()?;
/// assert_eq!(digest, Digest::of(Algorithm::Sha256, b""));
/// # Ok::<(), regc_core::InvalidDigest>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest {
    algorithm: Algorithm,
    /// Zero beyond the algorithm's length, so that the derived comparisons are right.
    bytes: [u8; 64],
}

impl Digest {
    /// Hashes `content`.
    pub fn of(algorithm: Algorithm, content: &[u8]) -> Self {
        match algorithm {
            Algorithm::Sha256 => Self::from_bytes(algorithm, &sha2::Sha256::digest(content)),
            Algorithm::Sha384 => Self::from_bytes(algorithm, &sha2::Sha384::digest(content)),
            Algorithm::Sha512 => Self::from_bytes(algorithm, &sha2::Sha512::digest(content)),
        }
    }

    /// Creates the SHA-256 digest with these bytes.
    pub fn sha256(bytes: [u8; 32]) -> Self {
        Self::from_bytes(Algorithm::Sha256, &bytes)
    }

    /// Creates the digest with these bytes, which must be as many as the algorithm has.
    pub(crate) fn from_bytes(algorithm: Algorithm, hash: &[u8]) -> Self {
        let mut bytes = [0; 64];
        bytes[..hash.len()].copy_from_slice(hash);
        Self { algorithm, bytes }
    }

    /// Parses the digest that a directory of the layout is named after: lower-case hexadecimal of exactly the
    /// algorithm's length. `None` for every other name.
    pub fn from_hex(algorithm: Algorithm, hex: &str) -> Option<Self> {
        if hex.len() != algorithm.bytes() * 2 || hex.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return None;
        }
        let mut bytes = [0; 64];
        hex::decode_to_slice(hex, &mut bytes[..algorithm.bytes()]).ok()?;
        Some(Self { algorithm, bytes })
    }

    fn parse(text: &str) -> Option<Self> {
        let (name, hex) = text.split_once(':')?;
        Self::from_hex(Algorithm::from_name(name)?, hex)
    }

    /// Parses a digest in upper or lower case. A manifest may contain one in upper case; no registry stores content
    /// under that name, so it can only mean the lower-case one.
    pub fn parse_any_case(text: &str) -> Result<Self, InvalidDigest> {
        let parsed = Self::parse(text).or_else(|| Self::parse(&text.to_ascii_lowercase()));
        parsed.ok_or_else(|| InvalidDigest(text.to_owned()))
    }

    /// Returns every digest that `text` seems to mention: hexadecimal digits of the length of a hash, in either case,
    /// with or without an algorithm before them, at the beginning or end of a longer run of digits too, and spelled
    /// with JSON's escapes. Damaged text may have referred to these, so callers can keep them.
    pub fn mentioned_in(text: &[u8]) -> Vec<Self> {
        let mut found = Vec::new();
        Self::each_mentioned_in(text, |digest| found.push(digest));
        found.sort_unstable();
        found.dedup();
        found
    }

    /// Calls `visit` with every digest that [`mentioned_in`](Self::mentioned_in) would return, some of them several
    /// times.
    pub(crate) fn each_mentioned_in(text: &[u8], mut visit: impl FnMut(Self)) {
        let unescaped = if text.windows(4).any(|at| at == b"\\u00") { unescaped(text) } else { Vec::new() };
        for run in [text, &unescaped].into_iter().flat_map(|text| text.split(|byte| !byte.is_ascii_hexdigit())) {
            for algorithm in Algorithm::ALL {
                let length = algorithm.bytes() * 2;
                let last = run.len().checked_sub(length).filter(|start| *start > 0).and_then(|start| run.get(start..));
                let ends = [run.get(..length), last];
                let digests = ends
                    .into_iter()
                    .flatten()
                    .filter_map(|hex| Self::from_hex(algorithm, &std::str::from_utf8(hex).ok()?.to_ascii_lowercase()));
                digests.for_each(&mut visit);
            }
        }
    }

    /// Returns the hash algorithm.
    pub const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Returns the hash itself: 32, 48 or 64 bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.algorithm.bytes()]
    }

    /// Returns the hash of a SHA-256 digest; `None` for another algorithm's.
    pub fn as_sha256(&self) -> Option<&[u8; 32]> {
        match self.algorithm {
            Algorithm::Sha256 => self.bytes.first_chunk(),
            Algorithm::Sha384 | Algorithm::Sha512 => None,
        }
    }

    /// Returns the hash in lower-case hexadecimal.
    pub fn hex(&self) -> String {
        hex::encode(self.as_bytes())
    }

    /// Calls `with` with the hash in lower-case hexadecimal, without an allocation.
    pub(crate) fn with_hex<T>(&self, with: impl FnOnce(&str) -> T) -> T {
        let mut buffer = [0; 128];
        let text = &mut buffer[..self.algorithm.bytes() * 2];
        with(hex::encode_to_str(self.as_bytes(), text).expect("the buffer is of the text's length"))
    }
}

/// Resolves JSON's escapes of ASCII characters in `text`.
fn unescaped(text: &[u8]) -> Vec<u8> {
    let mut unescaped = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [byte, tail @ ..] = rest {
        let escape = rest.get(..6).and_then(|escape| escape.strip_prefix(b"\\u00"));
        match escape.and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok()) {
            Some(character) => {
                unescaped.push(character);
                rest = &rest[6..];
            }
            None => {
                unescaped.push(*byte);
                rest = tail;
            }
        }
    }
    unescaped
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.with_hex(|hex| write!(f, "{}:{hex}", self.algorithm.name()))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Digest {
    type Err = InvalidDigest;

    /// Parses `<algorithm>:<hex>` as the registry does: nothing around it, lower case.
    fn from_str(text: &str) -> Result<Self, InvalidDigest> {
        Self::parse(text).ok_or_else(|| InvalidDigest(text.to_owned()))
    }
}

impl<'de> serde::Deserialize<'de> for Digest {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl serde::Serialize for Digest {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Text that is not a digest of a known algorithm.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a digest: {0:?}")]
pub struct InvalidDigest(pub String);

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn digest_parses_from_its_own_text() {
        for algorithm in Algorithm::ALL {
            let digest = Digest::of(algorithm, b"content");
            assert_eq!(digest.to_string().parse(), Ok(digest));
            assert_eq!(digest.as_bytes().len(), algorithm.bytes());
        }
        assert_eq!(Digest::of(Algorithm::Sha256, b"").to_string(), EMPTY);
    }

    #[test]
    fn only_whole_lower_case_digests_parse() {
        let upper = EMPTY.to_uppercase();
        for text in ["", "sha256", "sha256:", "sha256:e3b0", "md5:d41d8cd98f00b204e9800998ecf8427e", &upper] {
            assert!(text.parse::<Digest>().is_err(), "{text}");
        }
        assert!(format!("{EMPTY}\n").parse::<Digest>().is_err());
        assert_eq!(Digest::parse_any_case(&upper).unwrap().to_string(), EMPTY);
    }

    #[test]
    fn digests_are_found_in_damaged_text() {
        let other = Digest::of(Algorithm::Sha512, b"x");
        let text = format!("{{\"digest\":\"{}\", \u{0}{}, abc, {EMPTY}", EMPTY.to_uppercase(), other.hex());
        let found = Digest::mentioned_in(text.as_bytes());
        assert!(found.contains(&EMPTY.parse().unwrap()) && found.contains(&other));
        assert!(Digest::mentioned_in(&EMPTY.as_bytes()[..70]).is_empty());
        let hex = &EMPTY[7..];
        for text in [format!("sha256\\u003a{hex}"), format!("sha256:\\u0065{}", &hex[1..]), format!("00{hex}")] {
            assert!(Digest::mentioned_in(text.as_bytes()).contains(&EMPTY.parse().unwrap()), "{text}");
        }
    }
}
