//! By which way targets are sent to: the machine's own, or one that the operator named. A target that names one which is no
//! more is sent nothing, rather than sent to by another way.

use std::collections::BTreeMap;

use domain::Target;
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
    named: BTreeMap<String, Way>,
}

impl Ways {
    pub(crate) fn new(plain: &Client, egresses: &[Egress]) -> Result<Self, StartError> {
        let named = egresses.iter().map(|egress| {
            let client = plain.with_egress(egress.clone());
            let client = client.map_err(|error| StartError::Egress(egress.name().to_owned(), error.to_string()))?;
            Ok((egress.name().to_owned(), Way::of(client)))
        });
        Ok(Self { plain: Way::of(plain.clone()), named: named.collect::<Result<_, StartError>>()? })
    }

    /// The way of a target.
    pub(crate) fn of(&self, target: &Target) -> Result<Way, String> {
        let Some(name) = &target.egress else { return Ok(self.plain.clone()) };
        let missing = || format!("nothing was sent: this server's configuration has no egress `{name}` any more");
        self.named.get(name).cloned().ok_or_else(missing)
    }
}
