//! A runtime and a context for one batch: limits set, globals in place, the program loaded.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use rquickjs::{
    Context, Ctx, Error, Exception, Function, Module, Object, Promise, Runtime, Value as Js,
    context::EvalOptions,
    function::Func,
    loader::{ImportAttributes, Loader, Resolver},
    module::{Declared, Evaluated},
};

use crate::fault::{Fault, FaultKind};
use crate::globals::Meter;
use crate::program::{Entry, Program};

/// The file name of our own globals; never shown.
pub(crate) const PRELUDE: &str = "<globals>";
/// The file name of the program.
pub(crate) const MAIN: &str = "transformation";

/// Libraries by name, and nothing else: no path, no address.
struct Shelf(Arc<BTreeMap<String, String>>);

impl Resolver for Shelf {
    fn resolve<'js>(
        &mut self,
        ctx: &Ctx<'js>,
        _base: &str,
        name: &str,
        _attributes: Option<ImportAttributes<'js>>,
    ) -> rquickjs::Result<String> {
        if self.0.contains_key(name) {
            return Ok(name.to_owned());
        }
        let known: Vec<&str> = self.0.keys().map(String::as_str).collect();
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        Err(Exception::throw_reference(ctx, &format!("there is no library {name:?}; there are: {known}")))
    }
}

impl Loader for Shelf {
    fn load<'js>(
        &mut self,
        ctx: &Ctx<'js>,
        name: &str,
        _attributes: Option<ImportAttributes<'js>>,
    ) -> rquickjs::Result<Module<'js, Declared>> {
        match self.0.get(name) {
            Some(source) => Module::declare(ctx.clone(), name, source.as_str()),
            None => Err(Error::new_loading(name)),
        }
    }
}

/// Runs `body` with the program loaded in a fresh context.
///
/// # Errors
/// What is wrong with the program as a whole.
pub(crate) fn with<T>(
    program: &Program,
    meter: &Rc<Meter>,
    body: impl FnOnce(&Loaded<'_>) -> Result<T, Fault>,
) -> Result<T, Fault> {
    within(&program.libraries, meter, |ctx| {
        let loaded = Loaded::new(ctx.clone(), program, meter)?;
        body(&loaded)
    })
}

/// Runs `body` in a fresh context, under the limits, where these libraries can be imported.
pub(crate) fn within<T>(
    libraries: &Arc<BTreeMap<String, String>>,
    meter: &Rc<Meter>,
    body: impl FnOnce(&Ctx<'_>) -> Result<T, Fault>,
) -> Result<T, Fault> {
    let no_memory = |_: Error| Fault::new(FaultKind::Memory, "no memory for a context");
    let runtime = Runtime::new().map_err(no_memory)?;
    runtime.set_memory_limit(meter.limits.memory);
    runtime.set_max_stack_size(meter.limits.stack);
    let watched = Rc::clone(meter);
    runtime.set_interrupt_handler(Some(Box::new(move || watched.is_over())));
    let told = Rc::clone(meter);
    runtime.set_host_promise_rejection_tracker(Some(Box::new(move |ctx, _, why, is_heard| {
        if is_heard {
            told.heard();
        } else {
            told.rejected(|| Fault::caught(&ctx, ctx.throw(why)));
        }
    })));
    runtime.set_loader(Shelf(Arc::clone(libraries)), Shelf(Arc::clone(libraries)));
    let context = Context::full(&runtime).map_err(no_memory)?;
    context.with(|ctx| {
        meter.start();
        body(&ctx)
    })
}

/// A program in its context.
pub(crate) struct Loaded<'js> {
    pub(crate) ctx: Ctx<'js>,
    pub(crate) entry: Entry,
    function: Function<'js>,
    metadata: Function<'js>,
    meter: Rc<Meter>,
}

impl<'js> Loaded<'js> {
    fn new(ctx: Ctx<'js>, program: &Program, meter: &Rc<Meter>) -> Result<Self, Fault> {
        let metadata = globals(&ctx, meter, include_str!("transformation.js")).map_err(|error| Fault::caught(&ctx, error))?;
        let module = evaluate(&ctx, MAIN, &program.source, meter).map_err(|fault| timed(meter, fault))?;
        let namespace = module.namespace().map_err(|error| Fault::caught(&ctx, error))?;
        let (entry, function) = entry(&namespace)?;
        Ok(Self { ctx, entry, function, metadata, meter: Rc::clone(meter) })
    }

    /// The function that the code calls for the metadata of an event; `known` is JSON, an object by message id.
    pub(crate) fn metadata(&self, known: &str) -> Result<Function<'js>, Fault> {
        let caught = |error| Fault::caught(&self.ctx, error);
        let known = self.ctx.json_parse(known).map_err(caught)?;
        self.metadata.call((known,)).map_err(caught)
    }

    /// Calls the program with an event, or a list of them, as JSON.
    pub(crate) fn call(&self, events: &str, metadata: &Function<'js>) -> Result<Js<'js>, Fault> {
        self.meter.start();
        let answered = (|| {
            let caught = |error| Fault::caught(&self.ctx, error);
            let events = self.ctx.json_parse(events).map_err(caught)?;
            let value: Js<'js> = self.function.call((events, metadata.clone())).map_err(caught)?;
            match value.as_promise() {
                Some(promise) => settle(&self.ctx, &self.meter, promise),
                None => Ok(value.clone()),
            }
        })();
        let value = answered.map_err(|fault| timed(&self.meter, fault))?;
        // It may have caught what it was stopped by.
        if self.meter.is_over() { Err(too_long(&self.meter)) } else { Ok(value) }
    }

    /// A value as JSON text; none for what JSON has no word for.
    pub(crate) fn json(&self, value: &Js<'js>) -> Result<Option<String>, Fault> {
        let caught = |error| timed(&self.meter, Fault::caught(&self.ctx, error));
        let text = self.ctx.json_stringify(value.clone()).map_err(caught)?;
        text.map(|text| text.to_string()).transpose().map_err(caught)
    }
}

/// A module in its context, run to its end.
pub(crate) fn evaluate<'js>(ctx: &Ctx<'js>, file: &str, source: &str, meter: &Meter) -> Result<Module<'js, Evaluated>, Fault> {
    let caught = |error| Fault::caught(ctx, error);
    let declared = Module::declare(ctx.clone(), file, source).map_err(caught)?;
    let (module, promise) = declared.eval().map_err(caught)?;
    settle(ctx, meter, &promise)?;
    Ok(module)
}

/// Puts the globals of a prelude in place, a function of what all preludes are made of, and gives what it ends with.
pub(crate) fn globals<'js>(ctx: &Ctx<'js>, meter: &Rc<Meter>, prelude: &str) -> rquickjs::Result<Function<'js>> {
    let (asked, noted) = (Rc::clone(meter), Rc::clone(meter));
    let host = move |ctx: Ctx<'js>, what: String, argument: String| {
        asked.call(&what, &argument).map_err(|message| Exception::throw_message(&ctx, &message))
    };
    ctx.globals().set("host", Func::from(host))?;
    ctx.globals().set("note", Func::from(move |line: String| noted.note(&line)))?;
    let options = || {
        let mut options = EvalOptions::default();
        options.filename = Some(PRELUDE.to_owned());
        options
    };
    let common: Object<'js> = ctx.eval_with_options(include_str!("common.js"), options())?;
    ctx.eval_with_options::<Function<'js>, _>(prelude, options())?.call((common,))
}

/// The one function that the program exports for us.
fn entry<'js>(namespace: &Object<'js>) -> Result<(Entry, Function<'js>), Fault> {
    let function = |name: &str| namespace.get::<_, Js<'js>>(name).ok().and_then(|value| value.as_function().cloned());
    match (function(Entry::Event.name()), function(Entry::Batch.name())) {
        (Some(event), None) => Ok((Entry::Event, event)),
        (None, Some(batch)) => Ok((Entry::Batch, batch)),
        (Some(_), Some(_)) => {
            Err(Fault::new(FaultKind::Export, "exports both transformEvent and transformBatch: export one of them"))
        }
        (None, None) => Err(Fault::new(
            FaultKind::Export,
            "exports neither transformEvent nor transformBatch: write `export function transformEvent(event, metadata) { … }`",
        )),
    }
}

/// Runs what is waiting until the promise is settled.
pub(crate) fn settle<'js>(ctx: &Ctx<'js>, meter: &Meter, promise: &Promise<'js>) -> Result<Js<'js>, Fault> {
    loop {
        if let Some(result) = promise.result::<Js<'js>>() {
            return result.map_err(|error| Fault::caught(ctx, error));
        }
        // A chain of short jobs without end is not interrupted by the engine.
        if meter.is_over() {
            return Err(too_long(meter));
        }
        if !ctx.execute_pending_job() {
            return Err(Fault::caught(ctx, Error::WouldBlock));
        }
    }
}

pub(crate) fn too_long(meter: &Meter) -> Fault {
    Fault::new(FaultKind::Time, format!("ran longer than {:?} and was stopped", meter.limits.time))
}

/// The time limit is why, whatever the engine says it was.
pub(crate) fn timed(meter: &Meter, fault: Fault) -> Fault {
    if !meter.timed_out.get() {
        return fault;
    }
    Fault { file: fault.file, line: fault.line, column: fault.column, ..too_long(meter) }
}
