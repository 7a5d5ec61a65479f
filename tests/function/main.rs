//! The built function as a process: a real PostgreSQL over TLS, and AWS played over the wire.

#[path = "../support/mod.rs"]
mod support;

mod access;
mod archive;
mod connections;
mod databases;
mod entries;
mod exact;
mod families;
mod faults;
mod faults_answer;
mod faults_midway;
mod faults_twice;
mod ground;
mod hostile;
mod iam;
mod late;
mod leaving;
mod network;
mod obstacles;
mod protocol;
mod rds;
mod reference;
mod refusals;
mod rehearsals;
mod removal;
mod removal_hostile;
mod responder;
mod rogue;
mod shadows;
mod sharing;
mod stories;
mod tenants;
mod tls;
