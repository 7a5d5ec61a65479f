//! The extensions of another database as the map: what staging has, production gets.

use std::collections::BTreeMap;

use crate::postgres::session::Session;
use crate::reconcile::database::Visitor;
use crate::reconcile::error::Error;
use crate::request::{Request, WantedExtension, WantedVersion};

impl Visitor<'_> {
    /// The extensions of the database that this visitor's target names, each at its version.
    ///
    /// # Errors
    /// Nobody let us in, or the catalog could not be read.
    pub async fn extensions(&self) -> Result<BTreeMap<String, WantedExtension>, Error> {
        let database = self.target.lock().await.database.clone();
        let session = Session::new(self.connect(&database).await?, database);
        let extensions = session.extensions(self.budget).await;
        session.close().await;
        let exactly =
            |version| WantedExtension { version: WantedVersion::Exact(version), schema: None };
        Ok(extensions?.into_iter().map(|(name, version)| (name, exactly(version))).collect())
    }
}

/// Adds what the other database has; the entries of `PluginsMap` win, in whatever case.
pub fn add(request: &mut Request, reference: BTreeMap<String, WantedExtension>) {
    let own: Vec<String> = request.wanted.extensions.keys().cloned().collect();
    let others = reference
        .into_iter()
        .filter(|(name, _)| !own.iter().any(|key| key.eq_ignore_ascii_case(name)));
    request.wanted.extensions.extend(others);
}
