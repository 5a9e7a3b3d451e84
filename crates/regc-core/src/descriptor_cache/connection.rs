//! A connection to the Redis of a registry: one server, the one that Sentinels name, or a cluster.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use redis::cluster::{ClusterClientBuilder, ClusterConnection, cluster_pipe};
use redis::cluster_routing::{RoutingInfo, SingleNodeRoutingInfo};
use redis::{
    Arg, Client, ClientTlsConfig, Cmd, ConnectionAddr, ConnectionInfo, FromRedisValue, IntoConnectionInfo,
    RedisConnectionInfo, RedisError, TlsCertificates, TlsMode, Value,
};

use crate::error::Error;
use crate::registry::config::{Login, Redis, Tls};

/// How long a server may take to accept a connection.
const CONNECT: Duration = Duration::from_secs(5);

/// How long a server may take to answer.
pub(super) const ANSWER: Duration = Duration::from_secs(10);

/// The nodes that hold the keys.
enum Nodes {
    One(Box<redis::Connection>),
    Cluster(Box<ClusterConnection>),
}

/// A connection whose errors name the database.
pub(super) struct Connection {
    nodes: Nodes,
    shown: String,
}

/// A node of a cluster: its host and port.
pub(super) type Node = (String, u16);

impl Connection {
    /// Connects as the registry does: with `mastername` by Sentinels, with several addresses to a cluster.
    pub(super) fn open(redis: &Redis) -> Result<Self, Error> {
        let failed = |reason: Reason| Error::Cache { at: redis.to_string(), source: reason.0 };
        let nodes = connect(redis).map_err(failed)?;
        Ok(Self { nodes, shown: redis.to_string() })
    }

    /// Sends commands at once that answer with numbers, and returns the sum. A key that is not of the type that a
    /// registry makes is somebody else's, and left alone.
    pub(super) fn sum(&mut self, commands: Vec<Cmd>) -> Result<u64, Error> {
        let answers = match &mut self.nodes {
            Nodes::One(connection) => {
                let mut pipeline = redis::pipe();
                for command in commands {
                    pipeline.add_command(command);
                }
                pipeline.ignore_errors().query::<Vec<Result<u64, RedisError>>>(&mut **connection)
            }
            Nodes::Cluster(connection) => of_their_type(connection, commands).and_then(|commands| {
                if commands.is_empty() {
                    return Ok(Vec::new());
                }
                let mut pipeline = cluster_pipe();
                for command in commands {
                    pipeline.add_command(command);
                }
                pipeline.query::<Vec<u64>>(connection).map(|numbers| numbers.into_iter().map(Ok).collect())
            }),
        };
        let mut sum = 0;
        for answer in answers.map_err(|error| self.error(error))? {
            match answer {
                Ok(number) => sum += number,
                Err(error) if is_of_another_type(&error) => {}
                Err(error) => return Err(self.error(error)),
            }
        }
        Ok(sum)
    }

    /// Lists the nodes of a cluster that hold keys; one that is no cluster has a single one without a name.
    pub(super) fn nodes(&mut self) -> Result<Vec<Option<Node>>, Error> {
        let Nodes::Cluster(connection) = &mut self.nodes else { return Ok(vec![None]) };
        let slots: Result<Vec<Vec<Value>>, RedisError> = redis::cmd("CLUSTER").arg("SLOTS").query(&mut **connection);
        let slots = slots.map_err(|error| self.error(error))?;
        // A range of slots is its first and last, and then its nodes, of which the first is the one that is written to.
        let mut nodes = Vec::new();
        for master in slots.iter().filter_map(|range| range.get(2)) {
            let Value::Array(parts) = master else { continue };
            let [host, port, ..] = &parts[..] else { continue };
            let (host, port) = (String::from_redis_value_ref(host), u16::from_redis_value_ref(port));
            if let (Ok(host), Ok(port)) = (host, port) {
                nodes.push(Some((host, port)));
            }
        }
        nodes.sort();
        nodes.dedup();
        Ok(nodes)
    }

    /// Sends a command to a node, or to the one that has its key; `None` if the key is not of the type that a registry
    /// makes.
    pub(super) fn ask<T: FromRedisValue>(&mut self, command: &Cmd, node: Option<&Node>) -> Result<Option<T>, Error> {
        let answer = match (&mut self.nodes, node) {
            (Nodes::One(connection), _) => command.query(&mut **connection),
            (Nodes::Cluster(connection), None) => command.query(&mut **connection),
            (Nodes::Cluster(connection), Some((host, port))) => {
                let node = SingleNodeRoutingInfo::ByAddress { host: host.clone(), port: *port };
                let value = connection.route_command(command, RoutingInfo::SingleNode(node));
                value.and_then(|value| T::from_redis_value(value).map_err(RedisError::from))
            }
        };
        match answer {
            Err(error) if is_of_another_type(&error) => Ok(None),
            answer => answer.map(Some).map_err(|error| self.error(error)),
        }
    }

    fn error(&self, error: RedisError) -> Error {
        Error::Cache { at: self.shown.clone(), source: Reason::from(error).0 }
    }
}

/// Whether a key is not of the type that a command is for.
fn is_of_another_type(error: &RedisError) -> bool {
    error.code() == Some("WRONGTYPE")
}

/// Leaves out the commands on sets whose key is of another type. In a cluster, one refusal is the answer to all
/// commands that are sent at once.
fn of_their_type(connection: &mut ClusterConnection, mut commands: Vec<Cmd>) -> Result<Vec<Cmd>, RedisError> {
    let set = |command: &Cmd| -> Option<Vec<u8>> {
        let mut arguments = command.args_iter();
        match (arguments.next(), arguments.next()) {
            (Some(Arg::Simple(b"SREM")), Some(Arg::Simple(key))) => Some(key.to_vec()),
            _ => None,
        }
    };
    let sets: BTreeSet<Vec<u8>> = commands.iter().filter_map(set).collect();
    if sets.is_empty() {
        return Ok(commands);
    }
    let mut pipeline = cluster_pipe();
    for set in &sets {
        pipeline.cmd("TYPE").arg(&set[..]);
    }
    let types: Vec<String> = pipeline.query(connection)?;
    let others: BTreeSet<Vec<u8>> =
        sets.into_iter().zip(types).filter(|(_, of)| !matches!(&**of, "set" | "none")).map(|(key, _)| key).collect();
    commands.retain(|command| !set(command).is_some_and(|key| others.contains(&key)));
    Ok(commands)
}

/// Why there is no connection.
struct Reason(io::Error);

impl From<RedisError> for Reason {
    fn from(error: RedisError) -> Self {
        Self(if error.is_timeout() { io::ErrorKind::TimedOut.into() } else { io::Error::other(error) })
    }
}

fn connect(redis: &Redis) -> Result<Nodes, Reason> {
    let db =
        redis.db.parse().map_err(|_| Reason(io::Error::other(format!("redis.db is {:?}, not a number", redis.db))))?;
    let certificates = redis.tls.as_ref().map(certificates).transpose()?;
    let encrypted = certificates.is_some();
    if let Some(name) = &redis.master {
        let address = master(redis, name, certificates.as_ref())?;
        let info = info(&address, encrypted, &redis.login, db)?;
        return Ok(Nodes::One(Box::new(single(info, certificates)?)));
    }
    match &redis.addresses[..] {
        [] => Err(Reason(io::Error::other("the configuration has neither redis.addr nor redis.addrs"))),
        [address] => {
            let info = info(address, encrypted, &redis.login, db)?;
            Ok(Nodes::One(Box::new(single(info, certificates)?)))
        }
        several => {
            let infos = several.iter().map(|address| info(address, encrypted, &Login::default(), 0));
            let mut builder = ClusterClientBuilder::new(infos.collect::<Result<Vec<_>, _>>()?)
                .connection_timeout(CONNECT)
                .response_timeout(ANSWER);
            if let Some(user) = &redis.login.user {
                builder = builder.username(user);
            }
            if let Some(password) = &redis.login.password {
                builder = builder.password(password);
            }
            if let Some(certificates) = certificates {
                builder = builder.tls(TlsMode::Secure).certs(certificates);
            }
            Ok(Nodes::Cluster(Box::new(builder.build()?.get_connection()?)))
        }
    }
}

/// Asks the Sentinels, one after the other, where the server of this name is.
fn master(redis: &Redis, name: &str, certificates: Option<&TlsCertificates>) -> Result<String, Reason> {
    let mut last = Reason(io::Error::other("redis.addrs lists no Sentinel"));
    for address in &redis.addresses {
        let info = info(address, certificates.is_some(), &redis.sentinel_login, 0)?;
        let asked = single(info, certificates.cloned()).and_then(|mut sentinel| {
            let mut command = redis::cmd("SENTINEL");
            command.arg("get-master-addr-by-name").arg(name);
            Ok(command.query::<Option<Node>>(&mut sentinel)?)
        });
        match asked {
            Ok(Some((host, port))) if host.contains(':') => return Ok(format!("[{host}]:{port}")),
            Ok(Some((host, port))) => return Ok(format!("{host}:{port}")),
            Ok(None) => last = Reason(io::Error::other(format!("the Sentinel at {address} does not know {name}"))),
            Err(reason) => last = reason,
        }
    }
    Err(last)
}

fn single(info: ConnectionInfo, certificates: Option<TlsCertificates>) -> Result<redis::Connection, Reason> {
    let client = match certificates {
        Some(certificates) => Client::build_with_tls(info, certificates)?,
        None => Client::open(info)?,
    };
    let connection = client.get_connection_with_timeout(CONNECT)?;
    connection.set_read_timeout(Some(ANSWER))?;
    connection.set_write_timeout(Some(ANSWER))?;
    Ok(connection)
}

/// Describes a server at an address as Go writes it: `host:port`, `:port` for this machine, or the path of a socket.
fn info(address: &str, encrypted: bool, login: &Login, db: i64) -> Result<ConnectionInfo, Reason> {
    let place = if address.starts_with('/') {
        ConnectionAddr::Unix(address.into())
    } else {
        let parts = address.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse().ok()?)));
        let Some((host, port)) = parts else {
            return Err(Reason(io::Error::other(format!("{address} is not an address of the form host:port"))));
        };
        let host = match host.trim_start_matches('[').trim_end_matches(']') {
            "" => "127.0.0.1".to_owned(),
            host => host.to_owned(),
        };
        match encrypted {
            true => ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None },
            false => ConnectionAddr::Tcp(host, port),
        }
    };
    let mut settings = RedisConnectionInfo::default().set_db(db);
    if let Some(user) = &login.user {
        settings = settings.set_username(user);
    }
    if let Some(password) = &login.password {
        settings = settings.set_password(password);
    }
    Ok(place.into_connection_info()?.set_redis_settings(settings))
}

/// Reads the files with certificates.
fn certificates(tls: &Tls) -> Result<TlsCertificates, Reason> {
    let read = |path: &Path| {
        let named = |error: io::Error| io::Error::new(error.kind(), format!("cannot read {}: {error}", path.display()));
        fs::read(path).map_err(|error| Reason(named(error)))
    };
    let client_tls = match &tls.client {
        Some((certificate, key)) => Some(ClientTlsConfig { client_cert: read(certificate)?, client_key: read(key)? }),
        None => None,
    };
    let roots = tls.roots.iter().map(|path| read(path)).collect::<Result<Vec<_>, _>>()?;
    Ok(TlsCertificates { client_tls, root_cert: (!roots.is_empty()).then(|| roots.join(&b'\n')) })
}
