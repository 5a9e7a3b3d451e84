//! The parameters of a storage driver, read as the registry reads them.

use std::fmt;

use serde_yaml::{Mapping, Value};

use super::scalar;
use crate::error::Error;

/// The parameters of a driver, whose errors name the key.
pub(super) struct Parameters<'d> {
    /// Where they are in the configuration: `storage.s3`.
    path: String,
    parameters: Option<&'d Mapping>,
}

impl<'d> Parameters<'d> {
    /// Returns those of a driver of this name.
    pub(super) fn of(driver: &str, parameters: &'d Value) -> Result<Self, Error> {
        Self::at(format!("storage.{driver}"), parameters)
    }

    fn at(path: String, parameters: &'d Value) -> Result<Self, Error> {
        match parameters {
            Value::Null => Ok(Self { path, parameters: None }),
            Value::Mapping(parameters) => Ok(Self { path, parameters: Some(parameters) }),
            _ => Err(Error::Config(format!("{path} is not a mapping of parameters"))),
        }
    }

    pub(super) fn invalid(&self, key: &str, reason: impl fmt::Display) -> Error {
        Error::Config(format!("{}.{key} {reason}", self.path))
    }

    /// Returns the parameters in one of them, none if it is not given.
    pub(super) fn below(&self, key: &str) -> Result<Self, Error> {
        let path = format!("{}.{key}", self.path);
        match self.get(key) {
            None => Ok(Self { path, parameters: None }),
            Some(parameters) => Self::at(path, parameters),
        }
    }

    /// Returns all of them as texts, as Go prints them; `None` if there are none.
    pub(super) fn texts(&self) -> Result<Option<Vec<(String, String)>>, Error> {
        let text = |(name, value): (&Value, &Value)| {
            let name = scalar(name).unwrap_or_default();
            let text = scalar(value).ok_or_else(|| self.invalid(&name, "is not text"))?;
            Ok((name, text))
        };
        self.parameters.map(|parameters| parameters.iter().map(text).collect()).transpose()
    }

    /// Returns a text that must be given.
    pub(super) fn required(&self, key: &str) -> Result<String, Error> {
        self.text(key)?.ok_or_else(|| self.invalid(key, "is not set"))
    }

    /// Returns what the keys of all objects begin with, without slashes around it: `rootdirectory`.
    pub(super) fn root(&self) -> Result<String, Error> {
        let root = self.text("rootdirectory")?.unwrap_or_default().trim_matches('/').to_owned();
        if root.split('/').any(|part| matches!(part, "." | "..")) || root.contains("//") {
            return Err(self.invalid("rootdirectory", "has an empty part, or `.` or `..`"));
        }
        Ok(root)
    }

    fn get(&self, key: &str) -> Option<&'d Value> {
        self.parameters.and_then(|parameters| parameters.get(key))
    }

    /// Returns a text, as Go prints it. An empty one counts as not given.
    pub(super) fn text(&self, key: &str) -> Result<Option<String>, Error> {
        match self.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => match scalar(value) {
                Some(text) => Ok(Some(text).filter(|text| !text.is_empty())),
                None => Err(self.invalid(key, "is not text")),
            },
        }
    }

    /// Returns a switch: a boolean, or a text that Go's `ParseBool` knows.
    pub(super) fn switch(&self, key: &str) -> Result<Option<bool>, Error> {
        match self.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Bool(value)) => Ok(Some(*value)),
            Some(Value::String(text)) => match text.as_str() {
                "1" | "t" | "T" | "TRUE" | "true" | "True" => Ok(Some(true)),
                "0" | "f" | "F" | "FALSE" | "false" | "False" => Ok(Some(false)),
                _ => Err(self.invalid(key, format_args!("is {text:?}; the registry takes true or false"))),
            },
            Some(_) => Err(self.invalid(key, "is neither true nor false")),
        }
    }
}
