//! By which way targets are sent to and databases of syncs are reached: the machine's own, or one that the operator named for the
//! organization. Where one is named that is no more, or for others, nothing is sent, rather than by another way.

use std::collections::BTreeMap;

use domain::{OrgId, Users};
use outbound::{egress::Egress, http::Client, mail::Mailer};

use crate::StartError;

/// What requests and mails to a target go out by.
#[derive(Debug, Clone)]
pub(crate) struct Way {
    pub(crate) client: Client,
    pub(crate) mailer: Mailer,
}

impl Way {
    fn of(client: Client) -> Self {
        Self { mailer: Mailer::like(&client), client }
    }
}

/// The ways that there are.
pub(crate) struct Ways {
    plain: Way,
    named: BTreeMap<String, (Way, Users)>,
}

impl Ways {
    pub(crate) fn new(plain: &Client, egresses: &[(Egress, Users)]) -> Result<Self, StartError> {
        let named = egresses.iter().map(|(egress, users)| {
            let client = plain.with_egress(egress.clone());
            let client = client.map_err(|error| StartError::Egress(egress.name().to_owned(), error.to_string()))?;
            Ok((egress.name().to_owned(), (Way::of(client), users.clone())))
        });
        Ok(Self { plain: Way::of(plain.clone()), named: named.collect::<Result<_, StartError>>()? })
    }

    /// The way that an organization named, or the machine's own.
    pub(crate) fn of(&self, org: OrgId, egress: Option<&str>) -> Result<Way, String> {
        let Some(name) = egress else { return Ok(self.plain.clone()) };
        match self.named.get(name) {
            Some((way, users)) if users.has(org) => Ok(way.clone()),
            // Whether it is there for others is none of its business.
            _ => Err(format!(
                "nothing was sent: this server's configuration has no egress `{name}` for this organization any more"
            )),
        }
    }
}
