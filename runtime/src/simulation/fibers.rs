//! Fibers: what would be threads, of which only one runs at a time. Whoever runs gives the turn away at its own points,
//! to whom a seed decides: so the same seed is the same interleaving, also inside calls of the product that block. All
//! fibers of a run are on the thread that called it: a turn costs a switch of stacks, and runs go on beside each other.

use crate::journal::Random;
use generator::{Generator, Gn};
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Mutex, MutexGuard, Once};

/// Everything that takes turns.
pub(super) struct Fibers {
    state: Mutex<State>,
}

struct State {
    fibers: Vec<Fiber>,
    /// Those that have not ended, in the order of their start.
    alive: Vec<usize>,
    running: usize,
    random: Random,
    /// In a hundred points, at how many the turn is kept.
    stickiness: u64,
    frozen: Vec<usize>,
    /// Killed, and not unwound yet.
    doomed: Vec<usize>,
    /// Why this run failed; the first reason.
    failure: Option<String>,
}

struct Fiber {
    /// The job instance that it belongs to; the director belongs to none.
    instance: Option<usize>,
    doomed: bool,
    rests: bool,
}

/// The payload that unwinds a fiber whose instance was killed.
struct Doomed;

/// A fiber's stack, in words. Only what is used of it is ever there.
const STACK: usize = 1 << 17;

type Stack = Generator<'static, (), ()>;

thread_local! {
    static HERE: RefCell<Option<Arc<Fibers>>> = const { RefCell::new(None) };
    /// Of each fiber of the run that this thread is in; none while it runs, and once it has ended.
    static STACKS: RefCell<Vec<Option<Stack>>> = const { RefCell::new(Vec::new()) };
    /// Of fibers that have ended, for those that begin: memory that is new costs more than most turns.
    static SPARE: RefCell<Vec<Stack>> = const { RefCell::new(Vec::new()) };
    static PANIC: RefCell<Option<String>> = const { RefCell::new(None) };
}

fn here() -> Option<Arc<Fibers>> {
    HERE.with_borrow(Clone::clone)
}

/// Back to who resumed this fiber.
#[expect(
    deprecated,
    reason = "what replaces it is handed down by calls, and the product between does not hand it down"
)]
fn give_way() {
    generator::yield_with(());
}

/// Whether this is a run of the simulation.
pub(crate) fn is_here() -> bool {
    HERE.with_borrow(Option::is_some)
}

/// Between two effects: somebody else may run, and this fiber may never come back.
pub(super) fn point() {
    if let Some(fibers) = here().filter(|_| !std::thread::panicking()) {
        fibers.hand_over(false);
    }
}

/// Nothing to do until somebody pokes this instance.
pub(super) fn rest() {
    if let Some(fibers) = here() {
        fibers.hand_over(true);
    }
}

/// End this fiber here.
pub(super) fn vanish() -> ! {
    resume_unwind(Box::new(Doomed))
}

/// Work for a thread that the product starts: if a fiber starts it, it becomes a fiber of the same instance, and there is
/// nothing to do any more.
pub(crate) fn background<W: FnOnce() + Send + 'static>(work: W) -> Option<W> {
    let Some(fibers) = here() else { return Some(work) };
    let instance = {
        let state = fibers.lock();
        state.fibers[state.running].instance
    };
    fibers.add(instance, work);
    None
}

/// What the product draws for a nonce.
pub(crate) fn nonce() -> Option<u64> {
    here().map(|fibers| fibers.below(u64::MAX))
}

impl Fibers {
    pub(super) fn new(seed: u64) -> Arc<Self> {
        static HOOK: Once = Once::new();
        HOOK.call_once(|| {
            let default = std::panic::take_hook();
            std::panic::set_hook(Box::new(move |info| match is_here() {
                false => default(info),
                true => PANIC.set(Some(info.to_string())),
            }));
        });
        let mut random = Random::new(seed);
        let stickiness = [0, 50, 80, 95][random.below(4) as usize];
        Arc::new(Fibers {
            state: Mutex::new(State {
                fibers: Vec::new(),
                alive: Vec::new(),
                running: 0,
                random,
                stickiness,
                frozen: Vec::new(),
                doomed: Vec::new(),
                failure: None,
            }),
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nobody panics while holding the turn")
    }

    /// Run the director, which is fiber 0, and whatever it starts, until it ends. Then everybody does.
    pub(super) fn run(self: &Arc<Self>, director: impl FnOnce() + Send + 'static) {
        HERE.set(Some(self.clone()));
        self.add(None, director);
        while self.is_alive(0) {
            let running = self.lock().running;
            self.resume(running);
            self.bury();
        }
        {
            let state = &mut *self.lock();
            state.doomed.clone_from(&state.alive);
            state.fibers.iter_mut().for_each(|fiber| fiber.doomed = true);
        }
        self.bury();
        STACKS.take();
        HERE.set(None);
    }

    fn is_alive(&self, me: usize) -> bool {
        self.lock().alive.contains(&me)
    }

    /// Let a fiber run until it gives the turn away or ends.
    fn resume(&self, me: usize) {
        let mut stack =
            STACKS.with_borrow_mut(|stacks| stacks[me].take()).expect("only who has not ended gets the turn");
        stack.resume();
        match stack.is_done() {
            true => SPARE.with_borrow_mut(|spare| spare.push(stack)),
            false => STACKS.with_borrow_mut(|stacks| stacks[me] = Some(stack)),
        }
    }

    /// Unwind who was killed.
    fn bury(&self) {
        loop {
            let doomed = self.lock().doomed.pop();
            let Some(doomed) = doomed else { return };
            if self.is_alive(doomed) {
                self.resume(doomed);
            }
        }
    }

    /// A new fiber of an instance.
    pub(super) fn start(self: &Arc<Self>, instance: usize, work: impl FnOnce() + Send + 'static) {
        self.add(Some(instance), work);
    }

    fn add(self: &Arc<Self>, instance: Option<usize>, work: impl FnOnce() + Send + 'static) {
        let mut state = self.lock();
        let me = state.fibers.len();
        state.fibers.push(Fiber { instance, doomed: false, rests: false });
        state.alive.push(me);
        drop(state);
        let fibers = self.clone();
        let life = move || fibers.live(me, work);
        let stack = match SPARE.with_borrow_mut(Vec::pop) {
            Some(mut stack) => {
                stack.init_code(life);
                stack
            }
            None => Gn::new_opt(STACK, life),
        };
        STACKS.with_borrow_mut(|stacks| stacks.push(Some(stack)));
    }

    /// From a fiber's first turn to its end.
    fn live(&self, me: usize, work: impl FnOnce()) {
        let is_doomed = self.lock().fibers[me].doomed;
        if !is_doomed {
            self.guarded(work);
        }
        let mut state = self.lock();
        state.alive.retain(|alive| *alive != me);
        // The director's end is everybody's.
        if state.running == me && me != 0 {
            state.running = state.choose(me);
        }
    }

    /// A panic breaks a promise; being killed does not.
    fn guarded(&self, work: impl FnOnce()) {
        if let Err(payload) = catch_unwind(AssertUnwindSafe(work))
            && !payload.is::<Doomed>()
        {
            self.fail(PANIC.take().unwrap_or_else(|| "a panic without a message".to_owned()));
        }
    }

    fn hand_over(&self, rests: bool) {
        let mut state = self.lock();
        let me = state.running;
        if !state.fibers[me].doomed {
            state.fibers[me].rests = rests;
            state.running = state.choose(me);
            if state.running == me {
                return;
            }
            drop(state);
            give_way();
            state = self.lock();
        }
        if state.fibers[me].doomed {
            drop(state);
            vanish();
        }
    }

    /// An instance has something to do again.
    pub(super) fn poke(&self, instance: usize) {
        let mut state = self.lock();
        state.fibers.iter_mut().filter(|fiber| fiber.instance == Some(instance)).for_each(|fiber| fiber.rests = false);
    }

    /// `kill -9`. The caller, if it is one of its fibers, ends at its next point.
    pub(super) fn kill(&self, instance: usize) {
        let state = &mut *self.lock();
        state.frozen.retain(|frozen| *frozen != instance);
        for index in &state.alive {
            let fiber = &mut state.fibers[*index];
            if fiber.instance == Some(instance)
                && !std::mem::replace(&mut fiber.doomed, true)
                && *index != state.running
            {
                state.doomed.push(*index);
            }
        }
    }

    pub(super) fn freeze(&self, instance: usize) {
        self.lock().frozen.push(instance);
    }

    pub(super) fn thaw(&self, instance: usize) {
        self.lock().frozen.retain(|frozen| *frozen != instance);
    }

    /// A promise is broken, and this run is over.
    pub(super) fn fail(&self, why: String) {
        self.lock().failure.get_or_insert(why);
    }

    pub(super) fn failure(&self) -> Option<String> {
        self.lock().failure.clone()
    }

    /// A number below `bound`, as the seed has it.
    pub(super) fn below(&self, bound: u64) -> u64 {
        self.lock().random.below(bound)
    }
}

impl State {
    fn may_run(&self, index: usize) -> bool {
        let fiber = &self.fibers[index];
        !(fiber.doomed || fiber.rests || fiber.instance.is_some_and(|one| self.frozen.contains(&one)))
    }

    fn choose(&mut self, me: usize) -> usize {
        if self.failure.is_some() {
            return 0;
        }
        if self.alive.contains(&me) && self.may_run(me) && self.random.below(100) < self.stickiness {
            return me;
        }
        let able = self.alive.iter().filter(|index| self.may_run(**index)).count();
        let chosen = self.random.below(able as u64) as usize;
        *self.alive.iter().filter(|index| self.may_run(**index)).nth(chosen).expect("the director is always able")
    }
}
