//! Environment variables that override the configuration, by the registry's own rules.

use serde_yaml::{Mapping, Value};

use super::{Driver, driver, normalize_short_form, yaml};
use crate::error::Error;

/// The sections that are read, and that an environment variable can therefore change.
const SECTIONS: [&str; 8] = ["storage", "auth", "database", "http", "redis", "proxy", "validation", "openshift"];

/// The storage drivers of the registries that regc knows. A variable for another driver is an error only if it creates
/// that driver: Kubernetes sets `REGISTRY_STORAGE_PORT` and the like for a service named registry-storage.
const KNOWN_DRIVERS: [&str; 10] =
    ["filesystem", "inmemory", "azure", "gcs", "s3", "s3aws", "s3goamz", "swift", "oss", "cos"];

/// Overrides the configuration, and returns the storage driver with the variable that it comes from, if any.
pub(super) fn apply(
    document: &mut Mapping,
    environment: impl IntoIterator<Item = (String, String)>,
) -> Result<(Driver, Option<String>), Error> {
    let mut environment: Vec<_> = environment.into_iter().collect();
    environment.sort();
    let mut chosen = driver(document);
    let mut origin = None;
    let mut stray = None;
    for (name, text) in environment {
        let drivers = drivers_of(document);
        if !override_by(document, &name, &text)? {
            continue;
        }
        let is_stray = |driver: &String| !KNOWN_DRIVERS.contains(&&**driver) && !drivers.contains(driver);
        if stray.is_none() && drivers_of(document).iter().any(is_stray) {
            stray = Some(name.clone());
        }
        let now = driver(document);
        if !is_same(&now, &chosen) {
            origin = Some(name);
            chosen = now;
        }
    }
    let blamed = |reason: String| match stray.clone().or_else(|| origin.clone()) {
        Some(name) => blame(&name, reason),
        None => Error::Config(reason),
    };
    match chosen {
        Ok(Driver::Other(driver)) if stray.is_some() => Err(blamed(format!("unknown storage driver `{driver}`"))),
        Ok(driver) => Ok((driver, origin)),
        Err(Error::Config(reason)) => Err(blamed(reason)),
        Err(error) => Err(error),
    }
}

/// Returns the error that a variable causes.
fn blame(name: &str, reason: String) -> Error {
    let is_of_a_service =
        name.ends_with("_PORT") || ["_PORT_", "_SERVICE_HOST", "_SERVICE_PORT"].iter().any(|part| name.contains(part));
    let advice = match is_of_a_service {
        true => {
            "; Kubernetes sets such variables for a service of that name: unset it, or set `enableServiceLinks: false`"
        }
        false => "",
    };
    Error::Environment { name: name.to_owned(), reason: reason + advice }
}

fn is_same(a: &Result<Driver, Error>, b: &Result<Driver, Error>) -> bool {
    match (a, b) {
        (Ok(a), Ok(b)) => a == b,
        (Err(a), Err(b)) => a.to_string() == b.to_string(),
        _ => false,
    }
}

fn drivers_of(document: &Mapping) -> Vec<String> {
    let storage = document.get("storage").and_then(Value::as_mapping);
    storage.into_iter().flat_map(super::drivers).filter_map(|(name, _)| super::scalar(name)).collect()
}

/// Applies a variable. Returns whether it is one that overrides what is read.
fn override_by(document: &mut Mapping, name: &str, text: &str) -> Result<bool, Error> {
    let Some(path) = name.strip_prefix("REGISTRY_") else { return Ok(false) };
    let path: Vec<&str> = path.split('_').collect();
    let Some(section) = SECTIONS.into_iter().find(|section| section.to_uppercase() == path[0]) else {
        return Ok(false);
    };
    let fail = |reason| blame(name, reason);
    let value = yaml::read(text).map_err(|error| fail(format!("not valid YAML: {error}")))?;
    if let ["STORAGE", driver] = path[..]
        && !matches!(value, Value::Null | Value::Mapping(_))
    {
        let driver = driver.to_lowercase();
        return Err(fail(format!("its value is not a mapping, so the registry cannot use it as storage.{driver}")));
    }
    if path.len() == 1 {
        document.insert(section.into(), value);
        normalize_short_form(document, section);
    } else {
        let section = document.entry(section.into()).or_insert(Value::Null);
        override_in(section, &path[1..], value, 0);
    }
    Ok(true)
}

/// Sets `value` at `path` below `target`, whose keys are compared in upper case and created in lower case.
///
/// `depth` counts the levels below the section: the registry's parser knows the section's drivers and their
/// parameters, but treats a mapping further down in the file as if its keys were not strings, and leaves it alone.
fn override_in(target: &mut Value, path: &[&str], value: Value, depth: usize) {
    if target.is_null() {
        *target = Value::Mapping(Mapping::new());
    }
    let Value::Mapping(mapping) = target else { return };
    if depth >= 2 {
        return;
    }
    let existing = mapping.keys().find(|key| key.as_str().is_some_and(|key| key.to_uppercase() == path[0])).cloned();
    let new_key = Value::String(path[0].to_lowercase());
    if path.len() == 1 {
        mapping.insert(new_key, value);
        return;
    }
    match existing {
        Some(key) if !mapping[&key].is_null() => override_in(&mut mapping[&key], &path[1..], value, depth + 1),
        _ => {
            // Mappings that the environment itself creates have string keys, at any depth.
            let nested = path[1..].iter().rev().fold(value, |value, key| {
                Value::Mapping(Mapping::from_iter([(Value::String(key.to_lowercase()), value)]))
            });
            mapping.insert(new_key, nested);
        }
    }
}
