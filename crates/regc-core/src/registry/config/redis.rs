//! The registry's connection to Redis: `redis` in the configuration of registry 2 (`addr`) and 3 (`addrs`, Sentinel,
//! cluster).
//!
//! Source: `configuration/configuration.go` and `configureRedis` in `registry/handlers/app.go` of distribution 2.8, 3.0
//! and 3.1.

use std::fmt;
use std::path::PathBuf;

use serde_yaml::{Mapping, Value};

use super::scalar;

/// A Redis database, and how the registry reaches it.
#[derive(Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Redis {
    /// `redis.addrs`, or `redis.addr`: a host and a port each, or the path of a socket. Several are the nodes of a
    /// cluster; with `redis.mastername`, they are Sentinels. Empty if the configuration does not say.
    pub addresses: Vec<String>,
    /// `redis.db`, which is 0 unless the configuration says otherwise. A cluster has only that one.
    pub db: String,
    /// `redis.mastername`: what the Sentinels call the server.
    pub(crate) master: Option<String>,
    pub(crate) login: Login,
    /// `redis.sentinelusername` and `redis.sentinelpassword`.
    pub(crate) sentinel_login: Login,
    /// `redis.tls`. The registry encrypts only if it names a certificate.
    pub(crate) tls: Option<Tls>,
}

/// Who a client says it is.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Login {
    pub(crate) user: Option<String>,
    pub(crate) password: Option<String>,
}

/// The files with certificates, in PEM.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Tls {
    /// The client's certificate and its key.
    pub(crate) client: Option<(PathBuf, PathBuf)>,
    /// Whom to trust; the system's own if there are none.
    pub(crate) roots: Vec<PathBuf>,
}

impl Redis {
    pub(super) fn read(document: &Mapping) -> Self {
        let redis = document.get("redis");
        let text = |key: &str| redis.and_then(|redis| redis.get(key)).and_then(scalar).filter(|text| !text.is_empty());
        let mut addresses = texts(redis.and_then(|redis| redis.get("addrs")));
        if addresses.is_empty() {
            addresses.extend(text("addr"));
        }
        // Somebody may have written a URL, which the registry does not understand. Its password is not to be shown.
        for address in &mut addresses {
            if let Some(at) = address.rfind('@') {
                address.drain(..=at);
            }
        }
        let login = |user, password| Login { user: text(user), password: text(password) };
        Self {
            addresses,
            db: text("db").unwrap_or_else(|| "0".to_owned()),
            master: text("mastername"),
            login: login("username", "password"),
            sentinel_login: login("sentinelusername", "sentinelpassword"),
            tls: redis.and_then(|redis| redis.get("tls")).and_then(Tls::read),
        }
    }
}

impl Tls {
    fn read(tls: &Value) -> Option<Self> {
        let path = |key: &str| tls.get(key).and_then(scalar).filter(|path| !path.is_empty()).map(PathBuf::from);
        let (certificate, key) = (path("certificate"), path("key"));
        // `rootcas` is called `clientcas` in registry 3.0.
        let roots = ["rootcas", "clientcas"].into_iter().flat_map(|key| texts(tls.get(key)));
        let roots: Vec<PathBuf> = roots.map(PathBuf::from).collect();
        let is_used = certificate.is_some() || key.is_some() || !roots.is_empty();
        is_used.then(|| Self { client: certificate.zip(key), roots })
    }
}

/// Returns the texts of a sequence that are not empty.
fn texts(sequence: Option<&Value>) -> Vec<String> {
    let texts = sequence.and_then(Value::as_sequence).into_iter().flatten().filter_map(scalar);
    texts.filter(|text| !text.is_empty()).collect()
}

impl fmt::Debug for Redis {
    /// Secrets are left out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redis")
            .field("addresses", &self.addresses)
            .field("db", &self.db)
            .field("master", &self.master)
            .finish_non_exhaustive()
    }
}

impl fmt::Display for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { addresses, db, .. } = self;
        let at = if addresses.is_empty() { String::new() } else { format!(" at {}", addresses.join(", ")) };
        write!(f, "Redis{at}, database {db}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Redis {
        let text = format!("redis: {text}");
        Redis::read(serde_yaml::from_str::<Value>(&text).unwrap().as_mapping().unwrap())
    }

    #[test]
    fn both_shapes_of_the_section_are_read() {
        let two = read("{addr: 'cache:6379', db: 3, password: 1234}");
        assert_eq!(two.to_string(), "Redis at cache:6379, database 3");
        assert!(two.tls.is_none());
        assert_eq!((two.login.user, two.login.password.as_deref()), (None, Some("1234")));
        let three = read(
            "{addr: 'old:1', addrs: ['a:1', 'b:2'], username: u, password: p, mastername: m, sentinelpassword: s, \
             tls: {certificate: /c, key: /k, rootcas: [/r]}}",
        );
        assert_eq!(three.to_string(), "Redis at a:1, b:2, database 0");
        assert_eq!((three.login.user.as_deref(), three.sentinel_login.password.as_deref()), (Some("u"), Some("s")));
        assert_eq!(three.master.as_deref(), Some("m"));
        let tls = three.tls.unwrap();
        assert_eq!((tls.client, tls.roots), (Some(("/c".into(), "/k".into())), vec!["/r".into()]));
    }

    #[test]
    fn without_a_certificate_nothing_is_encrypted() {
        assert!(read("{addr: 'a:1', tls: {}}").tls.is_none());
        assert!(read("{addrs: ['a:1'], tls: {clientcas: [/r]}}").tls.is_some());
        assert!(read("{addrs: ['a:1'], tls: {certificate: /c}}").tls.unwrap().client.is_none());
    }

    #[test]
    fn secrets_are_not_shown() {
        let redis = read("{addrs: ['a:1'], username: someone, password: hidden}");
        let url = read("{addr: 'redis://someone:hidden@a:1/3'}");
        let shown = format!("{redis:?} {redis} {url:?} {url}");
        assert!(!shown.contains("hidden") && !shown.contains("someone"), "{shown}");
    }
}
