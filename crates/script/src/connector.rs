//! Connectors in code: a module whose default export registers functions at extension points, which are called when something
//! happens. The model is The Wallet Crew's, described at
//! <https://docs.thewalletcrew.io/develop/guides/custom-connector>.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use rquickjs::{Ctx, Function, Object, Promise, Value as Js};
use serde_json::Value;

use crate::fault::{Fault, FaultKind};
use crate::globals::Meter;
use crate::sandbox::{self, settle, timed};
use crate::{Host, Limits, LogLine};

/// The file name of the program.
const MAIN: &str = "connector";
/// What it may import, beside nothing.
const SECRETS: (&str, &str) = ("neo/secrets", "export const getSecret = globalThis.getSecret; export default { getSecret };");

/// A connector's program, loaded anew for every call.
#[derive(Debug, Clone)]
pub struct Connector {
    source: Arc<str>,
    libraries: Arc<BTreeMap<String, String>>,
}

/// What a connector registered at one extension point.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registered {
    /// The extension point.
    pub point: String,
    /// The functions.
    pub functions: Vec<String>,
}

/// What came of a call.
#[derive(Debug, Clone, PartialEq)]
pub struct Called {
    /// Whether there is such a function; the fault when it failed.
    pub result: Result<bool, Fault>,
    /// What the code wrote.
    pub log: Vec<LogLine>,
}

impl Connector {
    /// A program as it is.
    #[must_use]
    pub fn new(source: &str) -> Self {
        let (name, code) = SECRETS;
        Self { source: source.into(), libraries: Arc::new(BTreeMap::from([(name.to_owned(), code.to_owned())])) }
    }

    /// Loads it and tells what it registers.
    ///
    /// # Errors
    /// The first fault, with its place.
    pub fn check(&self, host: Arc<dyn Host>, limits: &Limits) -> Result<Vec<Registered>, Fault> {
        let meter = Rc::new(Meter::new(host, limits.clone()));
        self.with(&meter, |ctx, started| {
            let points: Js<'_> = started.get("points").map_err(|error| Fault::caught(ctx, error))?;
            let text = ctx.json_stringify(points).map_err(|error| Fault::caught(ctx, error))?;
            let text = text.and_then(|text| text.to_string().ok()).unwrap_or_default();
            let points: Vec<Value> = serde_json::from_str(&text).unwrap_or_default();
            let read = |point: &Value| Registered {
                point: point["point"].as_str().unwrap_or_default().to_owned(),
                functions: point["functions"]
                    .as_array()
                    .into_iter()
                    .flatten()
                    .filter_map(Value::as_str)
                    .map(str::to_owned)
                    .collect(),
            };
            Ok(points.iter().map(read).collect())
        })
    }

    /// Calls a function with arguments, each with its name.
    #[must_use]
    pub fn call(&self, point: &str, function: &str, arguments: &[(&str, Value)], host: Arc<dyn Host>, limits: &Limits) -> Called {
        let meter = Rc::new(Meter::new(host, limits.clone()));
        let result = self.with(&meter, |ctx, started| {
            let caught = |error| Fault::caught(ctx, error);
            let (names, values): (Vec<_>, Vec<_>) = arguments.iter().map(|(name, value)| (*name, value)).unzip();
            let json = |values: Value| ctx.json_parse(values.to_string()).map_err(caught);
            let (names, values) = (json(names.into())?, json(values.into_iter().cloned().collect())?);
            let call: Function<'_> = started.get("call").map_err(caught)?;
            meter.start();
            let promise: Promise<'_> = call.call((point, function, names, values)).map_err(caught)?;
            let found = settle(ctx, &meter, &promise)?.as_bool().unwrap_or(false);
            // What it began and did not wait for.
            while !meter.is_over() && ctx.execute_pending_job() {}
            if meter.is_over() {
                return Err(sandbox::too_long(&meter));
            }
            meter.take_unheard().map_or(Ok(found), Err)
        });
        Called { result, log: meter.take_log() }
    }

    /// Loads the program, lets it register, and hands over what it registered.
    fn with<T>(
        &self,
        meter: &Rc<Meter>,
        body: impl for<'js> FnOnce(&Ctx<'js>, &Object<'js>) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        sandbox::within(&self.libraries, meter, |ctx| {
            let run = || {
                let caught = |error| Fault::caught(ctx, error);
                let start = sandbox::globals(ctx, meter, include_str!("connector.js")).map_err(caught)?;
                let module = sandbox::evaluate(ctx, MAIN, &self.source, meter)?;
                let main: Js<'_> = module.namespace().and_then(|namespace| namespace.get("default")).map_err(caught)?;
                if !main.is_function() {
                    let message = "exports no function by default: write `export default (context) => { context.register(…) }`";
                    return Err(Fault::new(FaultKind::Export, message));
                }
                let promise: Promise<'_> = start.call((main,)).map_err(caught)?;
                let started = settle(ctx, meter, &promise)?;
                let started = started.into_object().ok_or_else(|| Fault::new(FaultKind::Export, "registers nothing"))?;
                body(ctx, &started)
            };
            run().map_err(|fault| timed(meter, fault))
        })
    }
}
