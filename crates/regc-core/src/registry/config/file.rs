//! Reading the configuration from a file.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::Path;

use super::Config;
use crate::error::Error;

impl Config {
    /// Reads a configuration file, and overrides it with those variables of `environment` that start with
    /// `REGISTRY_`, as [`parse`](Self::parse) does. Pass [`std::env::vars`] for the environment of the process, or
    /// `[]` for none.
    ///
    /// Fails as `parse` does, and if the file cannot be read.
    pub fn from_file(
        path: impl AsRef<Path>,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, Error> {
        let file = path.as_ref();
        let path = file.display().to_string();
        let fail = |source| Error::Storage { action: "read the configuration", path: path.clone(), source };
        let text = text(fs::read(file).map_err(fail)?).map_err(fail)?;
        Self::parse(&text, environment).map_err(|error| match error {
            Error::Config(reason) => Error::Config(format!("{path}: {reason}")),
            error => error,
        })
    }
}

/// Decodes the text of a file. An editor may have written it as UTF-16, which the registry reads as well.
fn text(content: Vec<u8>) -> io::Result<String> {
    let units = |decode: fn([u8; 2]) -> u16| -> Vec<u16> {
        content[2..].chunks_exact(2).map(|pair| decode([pair[0], pair[1]])).collect()
    };
    let units = match content.as_slice() {
        [0xff, 0xfe, ..] => units(u16::from_le_bytes),
        [0xfe, 0xff, ..] => units(u16::from_be_bytes),
        _ => return String::from_utf8(content).map_err(|error| io::Error::new(ErrorKind::InvalidData, error)),
    };
    String::from_utf16(&units).map_err(|error| io::Error::new(ErrorKind::InvalidData, error))
}

#[cfg(test)]
mod tests {
    use super::text;

    #[test]
    fn both_orders_of_utf_16_are_text() {
        let bytes = |decode: fn(u16) -> [u8; 2]| "\u{feff}käse".encode_utf16().flat_map(decode).collect();
        assert_eq!(text(bytes(u16::to_le_bytes)).unwrap(), "käse");
        assert_eq!(text(bytes(u16::to_be_bytes)).unwrap(), "käse");
        assert_eq!(text(b"\xef\xbb\xbfx".to_vec()).unwrap(), "\u{feff}x");
        assert!(text(b"\xff\xfe\x00\xd8".to_vec()).is_err() && text(b"\xc3".to_vec()).is_err());
    }
}
