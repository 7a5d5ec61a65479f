//! What `CloudFormation` does with a custom resource, from its first Create to its last Delete.

use super::delivery::Received;
use super::event::{Event, Kind};
use super::history::History;
use super::template::{Flaw, Template};
use super::world::{Place, SECRETS};

/// What `CloudFormation` believes of the resource.
#[derive(Debug, Clone)]
struct Resource {
    id: String,
    template: Template,
}

impl History<'_> {
    /// The whole life of a stack.
    pub fn play(&mut self) {
        if self.chance(25) {
            let place = Place::random(&mut self.rng);
            self.meddle(place);
        }
        let mut resource = if self.chance(8) { Some(self.adopted()) } else { self.create() };
        for _ in 0..self.rng.u8(..6) {
            let Some(before) = resource.take() else { break };
            self.check_asked();
            if self.chance(5) {
                self.meddle(before.template.place);
            }
            if self.chance(40) {
                self.use_something(before.template.place);
            }
            while self.chance(20) {
                self.stale_duplicate();
            }
            resource = Some(self.update(before));
        }
        if let Some(resource) = resource
            && self.chance(60)
        {
            self.check_asked();
            self.remove(&resource);
        }
        self.check_all_databases();
    }

    /// A resource that an older function made, with an id and properties of its own kind.
    fn adopted(&mut self) -> Resource {
        let mut template = Template::random(&mut self.rng);
        template.flaw = Some(Flaw::Ancient);
        Resource { id: "2021/01/31/[$LATEST]0123456789abcdef0123456789abcdef".to_owned(), template }
    }

    fn create(&mut self) -> Option<Resource> {
        let template = Template::random(&mut self.rng);
        let event = self.event(Kind::Create, "", &template);
        if self.chance(4) {
            // Another resource failed meanwhile: the Delete comes at once, with an invented id.
            let delete = self.event(Kind::Delete, "app-Extensions-1A2B3C4D5E6F", &template);
            self.with_delete(&event, &delete);
            return None;
        }
        match self.deliver(&event) {
            Received::Success(id) => {
                let resource = Resource { id, template };
                if self.chance(8) {
                    self.note("another resource failed: the stack goes".to_owned());
                    self.remove(&resource);
                    return None;
                }
                Some(resource)
            }
            Received::Failed(id) if self.chance(25) => {
                // Rollback is disabled: a new deployment creates it again, then cleans up.
                let mended = Template { flaw: None, ..template.edited(&mut self.rng) };
                let mut again = self.event(Kind::Create, "", &mended);
                again.request_id = event.request_id;
                let received = self.deliver(&again);
                self.remove(&Resource { id, template });
                match received {
                    Received::Success(id) => Some(Resource { id, template: mended }),
                    Received::Failed(id) => {
                        self.remove(&Resource { id, template: mended });
                        None
                    }
                    Received::Nothing => None,
                }
            }
            Received::Failed(id) => {
                self.remove(&Resource { id, template });
                None
            }
            Received::Nothing => {
                let id = "app-Extensions-6F5E4D3C2B1A".to_owned();
                self.remove(&Resource { id, template });
                None
            }
        }
    }

    fn update(&mut self, before: Resource) -> Resource {
        let template = before.template.edited(&mut self.rng);
        let mut event = self.event(Kind::Update, &before.id, &template);
        event.old = Some(before.template.clone());
        match self.deliver(&event) {
            Received::Success(id) if id == before.id => {
                let after = Resource { id, template };
                if self.chance(25) {
                    self.note("another resource failed: back".to_owned());
                    return self.roll_back(&before, after);
                }
                after
            }
            Received::Success(id) => self.replace(before, Resource { id, template }),
            // The id of the response sticks.
            Received::Failed(id) => self.roll_back(&before, Resource { id, template }),
            Received::Nothing => {
                let id = before.id.clone();
                self.roll_back(&before, Resource { id, template })
            }
        }
    }

    /// An Update with the properties swapped.
    fn roll_back(&mut self, to: &Resource, from: Resource) -> Resource {
        let mut event = self.event(Kind::Update, &from.id, &to.template);
        event.old = Some(from.template.clone());
        let mut received = self.deliver(&event);
        if !matches!(received, Received::Success(_)) && self.chance(40) {
            self.note("the rollback is continued".to_owned());
            received = self.deliver(&event);
        }
        match received {
            Received::Success(id) => {
                let back = Resource { id, template: to.template.clone() };
                if back.id != from.id {
                    self.clean_up(&from, &back);
                }
                back
            }
            // UPDATE_ROLLBACK_FAILED, and then skipped: the old properties count.
            Received::Failed(id) => Resource { id, template: to.template.clone() },
            Received::Nothing => Resource { template: to.template.clone(), ..from },
        }
    }

    /// The response had another id: the old resource goes once all else is through, or the new one
    /// if the stack rolls back.
    fn replace(&mut self, old: Resource, new: Resource) -> Resource {
        if self.chance(60) {
            self.clean_up(&old, &new);
            return new;
        }
        self.note("another resource failed: back".to_owned());
        if self.chance(50) {
            return self.roll_back(&old, new);
        }
        self.clean_up(&new, &old);
        old
    }

    /// A Delete for what was replaced. It must never be one for what is in use.
    fn clean_up(&mut self, gone: &Resource, current: &Resource) {
        let in_use = self.world.issued(current.template.place.server);
        assert_ne!(gone.id, current.id, "a surprise Delete");
        // A rollback that was skipped leaves the properties of one server and the id of another:
        // then the id says where the resource is.
        let astray = current.id != in_use && self.world.is_issued(&current.id);
        assert!(astray || gone.id != in_use, "a surprise Delete: that server is in use");
        self.remove(gone);
    }

    /// A Delete, until it succeeds; where it cannot, it is skipped.
    fn remove(&mut self, resource: &Resource) {
        let event = self.event(Kind::Delete, &resource.id, &resource.template);
        let mut gone = false;
        if self.chance(15) {
            self.note("the secrets are gone".to_owned());
            for secret in SECRETS {
                self.world.secrets.remove(secret);
            }
            gone = true;
        }
        self.secrets_gone = gone;
        for _ in 0..20 {
            let fails = !self.expected(&event).succeeds;
            let received = self.deliver(&event);
            if let Received::Success(id) = &received {
                assert_eq!(*id, resource.id);
            }
            if fails || matches!(received, Received::Success(_)) {
                self.secrets_gone = false;
                if gone {
                    self.world.restore_secrets();
                }
                return;
            }
        }
        panic!("no Delete succeeded");
    }

    /// An old event comes once more, and its response is not waited for.
    fn stale_duplicate(&mut self) {
        let updates = self.sent.iter().filter(|event| event.kind == Kind::Update).cloned();
        let updates: Vec<Event> = updates.collect();
        let any = updates.is_empty() || self.chance(15);
        if let Some(event) = self.rng.choice(if any { self.sent.clone() } else { updates }) {
            self.note(format!("again, late: {:?} {:?}", event.kind, event.template));
            self.once(&event, &[]);
            self.late += 1;
            self.forget_what_was_asked();
        }
    }

    fn event(&mut self, kind: Kind, id: &str, template: &Template) -> Event {
        let reused = self.sent.last().map(|event| event.request_id.clone());
        let request_id = match reused {
            Some(id) if self.chance(20) => id,
            _ => self.request_id(),
        };
        Event { kind, id: id.to_owned(), template: template.clone(), old: None, request_id }
    }
}
