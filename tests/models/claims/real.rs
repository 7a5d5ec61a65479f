//! The real function with real servers.

use std::time::Duration;

use cfn_postgres_extensions::cloudformation::physical_id;
use cfn_postgres_extensions::planner::desired::RemovalPolicy;
use serde_json::{Value, json};

use crate::claims::event::{Id, ManualChange, NAMES, RESOURCES, Wish};
use crate::claims::history::{Kind, Request, World};
use crate::claims::oracle::{Key, Snapshot};
use crate::support::cluster::Cluster;
use crate::support::database::{Database, Server, server};
use crate::support::function::Function;
use crate::support::secrets::SecretsManager;

/// The secrets of the two servers.
const SECRETS: [&str; 2] = ["app/one", "app/other"];

/// The claims that speak of this database, and whether they own what is there.
const CLAIMS: &str = "
    SELECT c.stack, c.logical_id, c.physical_id, c.extension,
           c.created AND e.oid IS NOT NULL AND (c.home <> n.oid OR c.extension_oid = e.oid)
    FROM cfn_postgres_extensions.claim AS c
    JOIN pg_namespace AS n ON n.nspname = 'cfn_postgres_extensions'
    LEFT JOIN pg_extension AS e ON e.extname = c.extension
    WHERE c.database = current_database()";

/// Two servers with three databases, and a function.
pub struct Real {
    databases: [Database; 3],
    function: Function,
    _secrets: SecretsManager,
    _other: Cluster,
}

impl Real {
    /// Empty databases.
    pub fn new() -> Self {
        let other = Cluster::start(&[]);
        let databases =
            [Database::create(), Database::create(), Database::at(other.server, "third")];
        let secrets = SecretsManager::start();
        for (name, Server { user, password, .. }) in SECRETS.iter().zip([server(), other.server]) {
            let database = &databases[if *name == SECRETS[0] { 0 } else { 2 }];
            secrets.put(name, "AWSCURRENT", database.secret(user, password).to_string());
        }
        let function = Function::start(&[
            ("AWS_ENDPOINT_URL_SECRETS_MANAGER", secrets.url()),
            ("PGSSLROOTCERT", server().ca.clone()),
        ]);
        Self { databases, function, _secrets: secrets, _other: other }
    }

    /// Empties the databases again.
    pub fn clear(&self) {
        for database in &self.databases {
            let names = database.value(
                "SELECT coalesce(string_agg(extname, ', '), '') FROM pg_extension
                 WHERE extname <> 'plpgsql'",
            );
            let drop = if names.is_empty() { "" } else { "DROP EXTENSION " };
            let cascade = if names.is_empty() { "" } else { " CASCADE" };
            database.query(&format!(
                "SET client_min_messages = error; {drop}{names}{cascade};
                 DROP SCHEMA IF EXISTS cfn_postgres_extensions CASCADE;
                 DROP SCHEMA public CASCADE; CREATE SCHEMA public;
                 CREATE EXTENSION IF NOT EXISTS plpgsql"
            ));
        }
    }

    fn host(&self, place: usize) -> (&str, u16) {
        match place {
            0 => ("localhost", self.databases[0].server.port),
            1 => ("127.0.0.1", self.databases[0].server.port),
            _ => ("localhost", self.databases[2].server.port),
        }
    }

    fn issued(&self, key: Key) -> String {
        let (host, port) = self.host(key.place);
        physical_id::issued(logical_id(key), host, port)
    }

    fn properties(&self, wish: &Wish) -> Value {
        let names: Vec<&str> =
            wish.databases.iter().map(|at| self.databases[*at].name.as_str()).collect();
        let listed = wish.map.iter().map(|name| ((*name).to_owned(), json!("any")));
        let absent = wish.absent.iter().map(|name| ((*name).to_owned(), json!("absent")));
        let map: serde_json::Map<String, Value> = listed.chain(absent).collect();
        let policy = match wish.policy {
            RemovalPolicy::Retain => "Retain",
            RemovalPolicy::Drop => "Drop",
            RemovalPolicy::DropCascade => "DropCascade",
        };
        json!({
            "DBSecret": SECRETS[usize::from(wish.place == 2)], "Host": self.host(wish.place).0,
            "SslMode": if wish.place == 2 { "require" } else { "verify-full" },
            "Databases": names, "PluginsMap": map, "RemovalPolicy": policy,
        })
    }

    fn event(&self, request: &Request) -> Value {
        let key = request.key;
        let mut event = json!({
            "RequestType": format!("{:?}", request.kind),
            "StackId": stack(key),
            "LogicalResourceId": logical_id(key),
            "ResourceProperties": self.properties(&request.wish),
        });
        if request.kind != Kind::Create {
            event["PhysicalResourceId"] = json!(match request.id {
                Id::Issued => self.issued(key),
                Id::Invented => "stack-Extensions-0A1B2C3D4E5F".to_owned(),
                Id::CreateUnknown => physical_id::create_unknown(logical_id(key)),
                Id::CreateFailed => physical_id::create_failed(logical_id(key)),
            });
        }
        if let Some(old) = &request.old {
            event["OldResourceProperties"] = self.properties(old);
        }
        event
    }
}

fn stack(key: Key) -> String {
    format!("arn:aws:cloudformation:eu-west-1:123456789012:stack/{}", key.who / 2)
}

fn logical_id(key: Key) -> &'static str {
    ["Left", "Right"][key.who % 2]
}

impl World for Real {
    const NEEDS_PLPGSQL: bool = true;

    fn request(&mut self, request: &Request) -> bool {
        let event = self.event(request).to_string();
        let [first, second] =
            [(), ()].map(|()| self.function.invoke(event.as_bytes(), Duration::from_mins(1)));
        assert_eq!(first.is_ok(), second.is_ok(), "{event}: {first:#?} {second:#?}");
        if let Ok(response) = &second {
            let changed = &response["Data"]["Changed"];
            assert!(changed == "false" || request.kind == Kind::Delete, "{event}: {response:#?}");
            assert!(!response["Reason"].to_string().contains("dropped "), "{response:#?}");
        }
        first.is_ok()
    }

    fn meddle(&mut self, database: usize, change: ManualChange, extension: &'static str) {
        let it = &self.databases[database];
        let create = format!("CREATE EXTENSION {extension} CASCADE");
        let drop = format!("DROP EXTENSION {extension} CASCADE");
        let link = "CREATE FUNCTION public.link(public.hstore) RETURNS int LANGUAGE sql
                    AS 'SELECT 1'; ALTER EXTENSION citext ADD FUNCTION public.link(public.hstore)";
        let sql = match change {
            ManualChange::Create => create,
            ManualChange::Drop => drop,
            ManualChange::Recreate => format!("{drop}; {create}"),
            ManualChange::Use => {
                let word = match extension {
                    "earthdistance" => "earth",
                    "keeper" => "kept",
                    name => name,
                };
                format!(
                    "CREATE TABLE IF NOT EXISTS public.use_{extension} (id int);
                     ALTER TABLE public.use_{extension} ADD COLUMN it public.{word}"
                )
            }
            ManualChange::LetGo => format!("ALTER TABLE public.use_{extension} DROP COLUMN it"),
            ManualChange::Write => "INSERT INTO public.kept VALUES (1, true)".to_owned(),
            ManualChange::Erase => "DELETE FROM public.kept".to_owned(),
            ManualChange::Link => link.to_owned(),
            ManualChange::Clutter => {
                "CREATE TABLE IF NOT EXISTS cfn_postgres_extensions.mine (a int)".to_owned()
            }
            ManualChange::Restore => {
                // A dump leaves members out that were added by hand.
                let linked = it.value("SELECT to_regproc('public.link') IS NOT NULL") == "t";
                it.dump_and_restore();
                let unlinked = it.value("SELECT to_regproc('public.link') IS NULL") == "t";
                if linked && unlinked { link.to_owned() } else { String::new() }
            }
            ManualChange::Copy => {
                it.become_copy_of(&self.databases[1 - database]);
                return;
            }
        };
        it.query(&format!("SET client_min_messages = error; {sql}"));
    }

    fn snapshot(&mut self, database: usize) -> Snapshot {
        let it = &self.databases[database];
        let known = |name: &str| *NAMES.iter().find(|it| **it == name).expect("one of ours");
        let used = it.query(
            "SELECT substr(relname, 5) FROM pg_attribute JOIN pg_class AS c ON c.oid = attrelid
             WHERE relname LIKE 'use\\_%' AND attname = 'it' AND NOT attisdropped",
        );
        let there =
            |name: &str| it.value(&format!("SELECT to_regclass('{name}') IS NOT NULL")) == "t";
        let rows = there("public.kept") && it.value("SELECT count(*) FROM public.kept") != "0";
        let claims =
            if there("cfn_postgres_extensions.claim") { it.query(CLAIMS) } else { Vec::new() };
        let keys = || (0..RESOURCES).flat_map(|who| (0..3).map(move |place| Key { who, place }));
        let key = |row: &[String]| {
            keys().find(|key| {
                row[0] == stack(*key) && row[1] == logical_id(*key) && row[2] == self.issued(*key)
            })
        };
        Snapshot {
            extensions: it.extensions().keys().map(|name| known(name)).collect(),
            used: used.iter().map(|row| known(&row[0])).collect(),
            rows,
            claims: claims
                .iter()
                .map(|row| (key(row).expect("a resource of ours"), known(&row[3]), row[4] == "t"))
                .collect(),
        }
    }
}
