//! Everything around the functions: servers, databases, secrets, and the functions themselves.

use std::collections::BTreeMap;
use std::io;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use cfn_postgres_extensions::aws::config;
use cfn_postgres_extensions::aws::http;
use cfn_postgres_extensions::aws::rds_token::Signer;
use cfn_postgres_extensions::lambda::failure_destination::FailureDestination;
use cfn_postgres_extensions::lambda::handler::Handler;
use cfn_postgres_extensions::postgres::target::AllowedHosts;
use cfn_postgres_extensions::reconcile::connector::Clients;
use cfn_postgres_extensions::tls::Roots;
use fastrand::Rng;
use lambda_runtime::Context;
use serde_json::json;
use sha2::{Digest, Sha256};
use tokio::runtime::{Builder, Runtime};

use super::catalog::{CATALOG, CLAIMS, CLAIMS_SCHEMA, Catalog};
use super::event::LOGICAL_ID;
use crate::support::database::{Database, server};
use crate::support::response_bucket::ResponseBucket;
use crate::support::secrets::SecretsManager;

/// The role of the simulated functions, which may come without TLS.
pub const ROLE: &str = "simulator";

/// Its password: one round of hashing in place of 4096, which is what a login costs otherwise.
const VERIFIER: &str = "SCRAM-SHA-256$1:c2ltdWxhdG9yLS1zYWx0IQ==$\
     Zod2M/99h3Dzkh7PeopQKsXiwYy8KpqJD2GtaqtmiFc=:wFgH8fYWfV67Ek98gRz5TBiX6MfC52X7HjyzOZyzzUU=";
const PASSWORD: &str = "simulated";

/// The name of the function's log stream.
const LOG_STREAM: &str = "2026/01/31/[$LATEST]0123456789abcdef0123456789abcdef";

/// The secrets of the three servers, and one with another password.
pub const SECRETS: [&str; 4] = ["app/a", "app/b", "app/c", "app/wrong"];

/// What `CloudFormation` sees as three servers: one PostgreSQL, under two names and two ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Server {
    /// `localhost`.
    A,
    /// `127.0.0.1`.
    B,
    /// `localhost`, on another port.
    C,
}

/// A database on a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Which server.
    pub server: Server,
    /// Which of its databases.
    pub slot: u8,
}

/// Every database that there is.
pub const PLACES: [Place; 4] = [
    Place { server: Server::A, slot: 0 },
    Place { server: Server::A, slot: 1 },
    Place { server: Server::B, slot: 0 },
    Place { server: Server::C, slot: 0 },
];

impl Place {
    /// Any of them.
    pub fn random(rng: &mut Rng) -> Self {
        PLACES[rng.usize(..PLACES.len())]
    }
}

/// One worker's world: its histories run one after the other.
pub struct World {
    /// What the functions run on.
    pub runtime: Runtime,
    /// The first function.
    pub handler: Handler,
    /// The responder.
    pub responder: FailureDestination,
    /// Where the responses go.
    pub bucket: ResponseBucket,
    /// The account's secrets.
    pub secrets: SecretsManager,
    databases: Vec<Database>,
    ids: [String; 3],
}

impl World {
    /// A new world, with empty databases.
    pub fn new() -> Self {
        let runtime = runtime();
        let secrets = SecretsManager::start();
        let url = secrets.url();
        let handler = handler(&url);
        let responder = FailureDestination { http: handler.http.clone(), region: None };
        let databases = PLACES.iter().map(|_| Database::create()).collect();
        let world = Self {
            runtime,
            handler,
            responder,
            bucket: ResponseBucket::start(),
            secrets,
            databases,
            ids: [Server::A, Server::B, Server::C].map(issued),
        };
        world.restore_secrets();
        world
    }

    /// The id of a resource on one server.
    pub fn issued(&self, on: Server) -> &str {
        &self.ids[on as usize]
    }

    /// Whether an id is that of one of the servers.
    pub fn is_issued(&self, id: &str) -> bool {
        self.ids.iter().any(|issued| issued == id)
    }

    /// The name of a database.
    pub fn name_of(&self, place: Place) -> &str {
        &self.database(place).name
    }

    /// A database.
    pub fn database(&self, place: Place) -> &Database {
        let index = PLACES.iter().position(|other| *other == place).expect("one of them");
        &self.databases[index]
    }

    /// What a database holds now.
    pub fn catalog(&self, place: Place) -> Catalog {
        let mut catalog = Catalog::of_rows(self.database(place).query(CATALOG));
        if catalog.schemas.remove(CLAIMS_SCHEMA) {
            let claims = self.database(place).query(CLAIMS);
            assert!(!claims.is_empty(), "a table without claims");
            for claim in claims {
                let [id, name, created] = <[String; 3]>::try_from(claim).expect("three columns");
                catalog.claims.insert((id, name), created == "true");
            }
        }
        catalog
    }

    /// Makes the world as it was at first; these databases hold something.
    pub fn reset(&self, databases: &BTreeMap<Place, Catalog>) {
        for (place, catalog) in databases {
            if let Some(statements) = catalog.emptied() {
                self.database(*place).query(&statements);
            }
        }
        self.restore_secrets();
        self.bucket.recover();
        self.bucket.clear();
    }

    /// Waits until no function is connected to this worker's databases.
    pub fn wait_until_all_are_gone(&self) {
        let names: Vec<String> =
            self.databases.iter().map(|database| format!("'{}'", database.name)).collect();
        let count = format!(
            "SELECT count(*) FROM pg_stat_activity
             WHERE usename = '{ROLE}' AND datname IN ({})",
            names.join(", ")
        );
        for _ in 0..6000 {
            if self.databases[0].value(&count) == "0" {
                return;
            }
            thread::sleep(Duration::from_millis(10));
        }
        panic!("a backend stayed behind");
    }

    /// Puts every secret back that was taken away.
    pub fn restore_secrets(&self) {
        for (at, server) in [Server::A, Server::B, Server::C, Server::A].into_iter().enumerate() {
            let (host, port) = address(server);
            let wrong = if at == 3 { "not " } else { "" };
            let secret = json!({ "engine": "postgres", "host": host, "port": port,
                                 "username": ROLE, "password": format!("{wrong}{PASSWORD}") });
            self.secrets.put(SECRETS[at], "AWSCURRENT", secret.to_string());
        }
    }
}

/// Host and port of a server.
pub fn address(of: Server) -> (&'static str, u16) {
    match of {
        Server::A => ("localhost", server().port),
        Server::B => ("127.0.0.1", server().port),
        Server::C => ("localhost", other_port()),
    }
}

/// The id of a resource on one server, as the contract has it.
fn issued(on: Server) -> String {
    let (host, port) = address(on);
    let digest = Sha256::digest(format!("{host}:{port}"));
    let [a, b, c, d, ..] = <[u8; 32]>::from(digest);
    format!("{LOGICAL_ID}-{a:02x}{b:02x}{c:02x}{d:02x}")
}

/// What a function runs on.
pub fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("a runtime")
}

/// The first function, as `main` makes it.
pub fn handler(secrets_url: &str) -> Handler {
    let environment = |name: &str| match name {
        "AWS_ENDPOINT_URL_SECRETS_MANAGER" => Some(secrets_url.to_owned()),
        "AWS_REGION" => Some("eu-west-1".to_owned()),
        "AWS_ACCESS_KEY_ID" => Some("ASIAEXAMPLE".to_owned()),
        "AWS_SECRET_ACCESS_KEY" => Some("wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY".to_owned()),
        _ => None,
    };
    let roots = Roots::default();
    let tls = roots.for_aws().expect("TLS");
    let http = http::client(tls).expect("a client");
    let secrets = config::secrets_manager(&environment, http::for_sdk(http.clone()));
    let signer = Signer {
        credentials: config::credentials(&environment),
        region: config::region(&environment),
    };
    let allowed_hosts = AllowedHosts::default();
    let clients = Clients { secrets, signer, roots, allowed_hosts };
    Handler { http, clients, unusable_bundle: None }
}

/// An invocation that has a minute.
pub fn context() -> Context {
    context_of(LOG_STREAM)
}

/// The same, with a log stream of its own.
pub fn context_of(log_stream: &str) -> Context {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a time after 1970");
    let mut context = Context::default();
    context.deadline =
        u64::try_from((now + Duration::from_mins(1)).as_millis()).expect("a near time");
    let mut config = (*context.env_config).clone();
    log_stream.clone_into(&mut config.log_stream);
    context.env_config = config.into();
    context
}

/// Makes the role that every simulated function logs in as.
pub fn create_role() {
    server().connect("postgres").query(&format!(
        "CREATE ROLE {ROLE} SUPERUSER LOGIN IN ROLE plaintext PASSWORD '{VERIFIER}'"
    ));
}

/// A second port of the same server: the first of anybody's connections opens it.
fn other_port() -> u16 {
    static PORT: OnceLock<u16> = OnceLock::new();
    *PORT.get_or_init(|| {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(upstream) = TcpStream::connect(("127.0.0.1", server().port)) else {
                    continue;
                };
                forward(&client, &upstream);
                forward(&upstream, &client);
            }
        });
        port
    })
}

fn forward(from: &TcpStream, to: &TcpStream) {
    let (Ok(mut from), Ok(mut to)) = (from.try_clone(), to.try_clone()) else { return };
    thread::spawn(move || {
        // An end that is closed closes the other one.
        let _ = io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Both);
    });
}
