//! `Loader` takes a model's files piece by piece and becomes a `Model`, which answers step by step.
#![cfg(target_arch = "wasm32")]

use std::cell::{RefCell, RefMut};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use bindings::team::{now, team};
use bindings::{error, from_js, to_js};
use hearth_engine::adapter::Adapter;
use hearth_engine::chat::{Capabilities, Origin, Request, ResponseFormat, Turn};
use hearth_engine::cpu::measure;
use hearth_engine::cpu::team::Team;
use hearth_engine::embed::Embedding;
use hearth_engine::executor::Tuning;
use hearth_engine::generate::{Options, Session};
use hearth_engine::loader::{Device, Loader as EngineLoader};
use hearth_engine::models::Room;
use hearth_engine::program::Pooling;
use hearth_engine::tokenizer::Tokenizer;
use hearth_engine::trial;
use hearth_gpu::Gpu;
use serde::Serialize;
use wasm_bindgen::prelude::*;

fn engine_error(problem: hearth_engine::Error) -> JsValue {
    error(problem.code(), &problem.to_string())
}

/// Times what the machine can do, without a model.
#[wasm_bindgen]
pub struct Meter {
    team: Team,
}

#[wasm_bindgen]
impl Meter {
    /// Of `threads`, all but one are workers that will call [`help`](bindings::team::help).
    #[wasm_bindgen(constructor)]
    pub fn new(threads: usize) -> Meter {
        Meter { team: team(threads) }
    }

    /// Bytes a second that `threads` of them read from memory together; `budget_ms` for each of five runs.
    pub fn bandwidth(&mut self, threads: usize, budget_ms: f64) -> f64 {
        self.team.limit(threads);
        measure::read_bandwidth(&mut self.team, now, budget_ms)
    }

    /// The speed of every kernel of this build, `[{format, kernel, tokens, gmacs, gigabytes}]`; `budget_ms` for each of five
    /// runs of each.
    pub fn kernels(&self, budget_ms: f64) -> Result<JsValue, JsValue> {
        to_js(&measure::kernels(now, budget_ms))
    }
}

/// Positions that a conversation may have where nobody asked for some.
const CONTEXT: usize = 8192;

/// The same on the GPU, where memory for all of them is taken at once.
const GPU_CONTEXT: usize = 4096;

/// Room for as many positions as are asked for, or as is `usual`.
fn room(asked: Option<usize>, usual: usize) -> Room {
    asked.map_or(Room::Usual(usual), Room::Asked)
}

/// Takes the bytes of a model's files as it asks for them.
#[wasm_bindgen]
pub struct Loader {
    gpu: Option<Gpu>,
    inner: EngineLoader,
}

#[wasm_bindgen]
impl Loader {
    /// For these files, `[{name, size_bytes}]`, on the GPU, with room for `context` positions, see `room`. `kernels`: what
    /// [`Loader::kernels`] said of this adapter before, or undefined to find it out, which takes a second or two.
    #[wasm_bindgen(js_name = onGpu)]
    pub async fn on_gpu(context: Option<usize>, kernels: JsValue, files: JsValue) -> Result<Loader, JsValue> {
        let mut gpu = Gpu::open().await.map_err(engine_error)?;
        if kernels.is_undefined() {
            gpu.tune(now).await.map_err(engine_error)?;
        } else {
            gpu = gpu.with(from_js(kernels)?);
        }
        let inner = EngineLoader::of(from_js(files)?, gpu.clone().device(), room(context, GPU_CONTEXT));
        let inner = inner.map_err(engine_error)?;
        Ok(Loader { inner, gpu: Some(gpu) })
    }

    /// What the adapter calls itself; empty for the CPU.
    #[wasm_bindgen(getter)]
    pub fn adapter(&self) -> String {
        self.gpu.as_ref().map(|gpu| gpu.name.clone()).unwrap_or_default()
    }

    /// How the adapter makes products, `{matvec, matmul, subgroups}`; undefined for the CPU.
    #[wasm_bindgen(getter)]
    pub fn kernels(&self) -> Result<JsValue, JsValue> {
        self.gpu.as_ref().map_or(Ok(JsValue::UNDEFINED), |gpu| to_js(&gpu.kernels()))
    }

    /// For these files, `[{name, size_bytes}]`, with room for `context` positions, see `room`; `device` is "cpu" or, for
    /// comparisons, "naive". Of `threads`, all but one are workers that will call [`help`](bindings::team::help).
    #[wasm_bindgen(constructor)]
    pub fn new(device: &str, threads: usize, context: Option<usize>, files: JsValue) -> Result<Loader, JsValue> {
        let device = match device {
            "cpu" => Device::Cpu(team(threads)),
            "naive" => Device::Naive,
            other => {
                return Err(error(
                    "invalid_input",
                    &format!("device \"{other}\" is not known; \"cpu\" and \"gpu\" are"),
                ));
            }
        };
        let inner = EngineLoader::of(from_js(files)?, device, room(context, CONTEXT)).map_err(engine_error)?;
        Ok(Loader { gpu: None, inner })
    }

    /// With an adapter, the bytes of a LoRA file; to be said before anything is pushed.
    pub fn adapted(self, adapter: &[u8]) -> Result<Loader, JsValue> {
        let adapter = Adapter::from_gguf(adapter).map_err(engine_error)?;
        Ok(Loader { inner: self.inner.adapted(adapter), ..self })
    }

    /// Which bytes of which file to push next, `{file, offset, bytes}`, in pieces of any size; null when all has come.
    pub fn wants(&mut self) -> Result<JsValue, JsValue> {
        to_js(&self.inner.wants().map_err(engine_error)?)
    }

    /// Takes the next bytes.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), JsValue> {
        // What a device that has failed is still given is lost.
        self.gpu.as_ref().map_or(Ok(()), Gpu::check).map_err(engine_error)?;
        self.inner.push(bytes).map_err(engine_error)
    }

    /// All has come: gives the model, once its weights are where they are used.
    pub async fn finish(self) -> Result<Model, JsValue> {
        if let Some(gpu) = &self.gpu {
            gpu.idle().await.map_err(engine_error)?;
        }
        let session = self.inner.finish().map_err(engine_error)?;
        let (tokenizer, info) = (session.tokenizer().clone(), Info::of(&session));
        Ok(Model { session: Rc::new(RefCell::new(Some(session))), tokenizer, info, turn: RefCell::default() })
    }
}

/// A loaded model and its conversation.
#[wasm_bindgen]
pub struct Model {
    /// Away while a step that answers later has it.
    session: Rc<RefCell<Option<Session>>>,
    /// The session's own, which stays here.
    tokenizer: Rc<Tokenizer>,
    info: Info,
    /// What tells the answer to a conversation apart.
    turn: RefCell<Option<Turn>>,
}

#[derive(Serialize)]
struct Info {
    architecture: &'static str,
    layers: usize,
    dim: usize,
    vocab_size: usize,
    trained_context: usize,
    context: usize,
    chat: bool,
    template: &'static str,
    capabilities: Option<Capabilities>,
    encoder: bool,
    pooling: Pooling,
    weight_bytes_per_token: usize,
    cache_bytes_per_token: usize,
}

impl Info {
    fn of(session: &Session) -> Info {
        let config = session.config();
        let template = session.tokenizer().template();
        Info {
            architecture: config.architecture.name(),
            layers: config.n_layers,
            dim: config.dim,
            vocab_size: config.vocab_size,
            trained_context: config.max_seq,
            context: session.context(),
            chat: session.tokenizer().has_template(),
            template: match template.as_ref().map(|template| template.origin()) {
                Ok(Origin::File) => "file",
                Ok(Origin::Default(name)) => name,
                Err(_) => "unreadable",
            },
            capabilities: template.ok().map(|template| template.capabilities()),
            encoder: config.encoder,
            pooling: config.pooling,
            weight_bytes_per_token: session.weight_bytes(),
            cache_bytes_per_token: session.cache_bytes(),
        }
    }
}

impl Model {
    fn session(&self) -> Result<RefMut<'_, Session>, JsValue> {
        let busy = |_| error("busy", "this model is answering already");
        RefMut::filter_map(self.session.borrow_mut(), Option::as_mut).map_err(busy)
    }

    fn turn(&self, request: JsValue, seed: f64) -> Result<Turn, JsValue> {
        let request: Request = from_js(request)?;
        Turn::new(&request, &self.tokenizer, seed as u64).map_err(engine_error)
    }

    /// The session, for work that waits; it must be put back.
    fn take(&self) -> Result<Session, JsValue> {
        self.session.borrow_mut().take().ok_or_else(|| error("busy", "this model is answering already"))
    }
}

/// What came of a rehearsal.
#[wasm_bindgen]
pub struct Trial(trial::Trial);

#[wasm_bindgen]
impl Trial {
    /// Some rows of logits.
    #[wasm_bindgen(getter)]
    pub fn logits(&self) -> Vec<f32> {
        self.0.logits.clone()
    }

    /// Prompt tokens read a second.
    #[wasm_bindgen(getter)]
    pub fn prompt_per_second(&self) -> f64 {
        self.0.prompt_per_second
    }

    /// Tokens made a second.
    #[wasm_bindgen(getter)]
    pub fn decode_per_second(&self) -> f64 {
        self.0.decode_per_second
    }
}

#[wasm_bindgen]
impl Model {
    /// What kind of model this is.
    pub fn info(&self) -> Result<JsValue, JsValue> {
        to_js(&self.info)
    }

    /// What this device does the model's work best with, `{kernel, threads}`; fewer `threads` than there are if they may be
    /// `fewer` and are as fast.
    pub fn tune(&self, threads: usize, fewer: bool) -> Result<JsValue, JsValue> {
        to_js(&self.session()?.tune(now, threads, fewer).map_err(engine_error)?)
    }

    /// Rehearses, see [`Trial`].
    pub async fn trial(&self) -> Result<Trial, JsValue> {
        let mut session = self.take()?;
        let trial = session.trial(now).await;
        *self.session.borrow_mut() = Some(session);
        trial.map(Trial).map_err(engine_error)
    }

    /// Uses this `{kernel, threads}`; gives back what is used.
    #[wasm_bindgen(js_name = use)]
    pub fn apply(&self, tuning: JsValue) -> Result<JsValue, JsValue> {
        let tuning: Tuning = from_js(tuning)?;
        to_js(&self.session()?.apply(&tuning))
    }

    /// The tokens of a text.
    pub fn tokenize(&self, text: &str) -> Result<Vec<u32>, JsValue> {
        self.tokenizer.encode(text).map_err(engine_error)
    }

    /// The tokens of a text with those that stand around every text, also where it begins with one of these.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, JsValue> {
        self.tokenizer.encode_with(text, true).map_err(engine_error)
    }

    /// The text of some tokens; those with a meaning of their own have none.
    pub fn decode(&self, tokens: &[u32]) -> String {
        self.tokenizer.decode(tokens, true)
    }

    /// A conversation, `{messages, tools, ...}`, as the prompt the model was trained on.
    pub fn render(&self, request: JsValue) -> Result<String, JsValue> {
        Ok(self.turn(request, 0.0)?.prompt().to_owned())
    }

    /// The same, to be answered next: what that answer says is told apart by it, see [`Model::tell`].
    pub fn converse(&self, request: JsValue, seed: f64) -> Result<String, JsValue> {
        let turn = self.turn(request, seed)?;
        let prompt = turn.prompt().to_owned();
        *self.turn.borrow_mut() = Some(turn);
        Ok(prompt)
    }

    /// What a piece of the answer's text is, `{content, reasoning, tool_calls}`; `last`: nothing follows it.
    pub fn tell(&self, text: &str, last: bool) -> Result<JsValue, JsValue> {
        match self.turn.borrow_mut().as_mut() {
            Some(turn) => to_js(&turn.tell(text, last)),
            None => Err(error("internal", "no conversation was rendered")),
        }
    }

    /// Begins an answer; returns how many prompt tokens must be read first, those still cached not counted. `turn`: it is the one
    /// that was rendered last, and must be what was asked for there; else `format`, a `response_format`, says what it must be.
    pub fn start(&self, prompt: &[u32], options: JsValue, turn: bool, format: JsValue) -> Result<usize, JsValue> {
        let options: Options = from_js(options)?;
        let mut session = self.session()?;
        let constraint = match self.turn.borrow().as_ref().filter(|_| turn) {
            Some(turn) => turn.constraint(&self.tokenizer),
            None if format.is_undefined() => Ok(None),
            None => from_js::<ResponseFormat>(format)?.constraint(&self.tokenizer),
        };
        session.start_constrained(prompt, options, constraint.map_err(engine_error)?).map_err(engine_error)
    }

    /// Goes on with the answer: `{token, text, prompt_left, finish}`, or null when it has ended; a promise of it where the GPU
    /// makes it.
    pub fn step(&self) -> Result<JsValue, JsValue> {
        let home = self.session.clone();
        let mut session = self.take()?;
        let mut step = Box::pin(async move {
            let step = session.step().await;
            *home.borrow_mut() = Some(session);
            match step.map_err(engine_error)? {
                Some(step) => to_js(&step),
                None => Ok(JsValue::NULL),
            }
        });
        match step.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(step) => step,
            Poll::Pending => Ok(wasm_bindgen_futures::future_to_promise(step).into()),
        }
    }

    /// A text's `tokens` as one vector; `how`: `{pooling, normalize, dimensions, truncate}`. Forgets the conversation.
    pub async fn embed(&self, tokens: Vec<u32>, how: JsValue) -> Result<Vec<f32>, JsValue> {
        let how: Embedding = from_js(how)?;
        let mut session = self.take()?;
        let vector = session.embed(&tokens, &how).await;
        *self.session.borrow_mut() = Some(session);
        vector.map_err(engine_error)
    }

    /// The conversation as bytes, with what is cached of it.
    pub async fn save(&self) -> Result<Vec<u8>, JsValue> {
        let mut session = self.take()?;
        let saved = session.save().await;
        *self.session.borrow_mut() = Some(session);
        saved.map_err(engine_error)
    }

    /// The conversation as bytes, without what is cached of it: also where the device has failed.
    #[wasm_bindgen(js_name = saveTokens)]
    pub fn save_tokens(&self) -> Result<Vec<u8>, JsValue> {
        Ok(self.session()?.save_tokens())
    }

    /// Reads a piece of the conversation that is not cached; how many tokens are left to read.
    pub async fn read(&self) -> Result<usize, JsValue> {
        let mut session = self.take()?;
        let left = session.read().await;
        *self.session.borrow_mut() = Some(session);
        left.map_err(engine_error)
    }

    /// Takes up a conversation that was saved.
    pub fn restore(&self, saved: &[u8]) -> Result<(), JsValue> {
        self.session()?.restore(saved).map_err(engine_error)
    }

    /// What guessing ahead came to: `{guessed, right}` tokens.
    pub fn guesses(&self) -> Result<JsValue, JsValue> {
        to_js(&self.session()?.guesses())
    }

    /// Gives up the answer in the making.
    pub fn stop(&self) -> Result<(), JsValue> {
        self.session()?.stop();
        Ok(())
    }

    /// Tokens of the conversation, prompt and answer.
    pub fn used(&self) -> Result<usize, JsValue> {
        Ok(self.session()?.tokens().len())
    }
}
