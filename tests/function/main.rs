//! The built function as a process: a real PostgreSQL over TLS, and AWS played over the wire.

#[path = "../support/mod.rs"]
mod support;

/// How the function reaches the server: secrets, tokens, TLS, networks.
mod connect {
    mod iam;
    mod network;
    mod rds;
    mod secrets;
    mod tls;
}

/// Requests over several databases.
mod databases {
    mod connections;
    mod several;
    mod tenants;
}

/// Fault injection: what is retried, and what is reported in time.
mod faults {
    mod connecting;
    mod reconciling;
    mod redelivery;
    mod responding;
}

/// `RequestType: Inspect`, and what direct invocations have beside it.
mod inspect {
    mod drift;
    mod logs;
    mod program;
    mod reading;
    mod terraform;
}

/// What a Create and an Update do to one database.
mod install {
    mod basics;
    mod dry_run;
    mod entries;
    mod everything_else;
    mod families;
    mod major_upgrade;
    mod plain_sql;
    mod plugins_from;
    mod refusals;
    mod verification;
}

/// The protocol with `CloudFormation` and Lambda.
mod protocol {
    mod events;
    mod responder;
}

/// `RemovalPolicy`, and what a Delete does.
mod removal {
    mod absent;
    mod deletes;
    mod dependents;
    mod interference;
    mod policies;
    mod redelivered_updates;
    mod shared_extensions;
}

/// What others on the server or in the template may try.
mod security {
    mod malicious_server;
    mod script_hijacking;
    mod shadowed_catalog;
    mod untrusted_text;
}
