//! Threads of which only one runs at a time. Whoever runs gives the turn away at its own points, to whom a seed decides:
//! so the same seed is the same interleaving, also inside calls of the product that block.

use crate::journal::Random;
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, Once};

/// Everything that takes turns.
pub(super) struct Fibers {
    state: Mutex<State>,
    /// Somebody ended.
    ended: Condvar,
}

struct State {
    fibers: Vec<Fiber>,
    running: usize,
    random: Random,
    /// In a hundred points, at how many the turn is kept.
    stickiness: u64,
    frozen: Vec<usize>,
    alive: usize,
    /// Why this run failed; the first reason.
    failure: Option<String>,
}

struct Fiber {
    /// The job instance that it belongs to; the director belongs to none.
    instance: Option<usize>,
    wake: Arc<Condvar>,
    ended: bool,
    doomed: bool,
    rests: bool,
}

/// The payload that unwinds a fiber whose instance was killed.
struct Doomed;

thread_local! {
    static HERE: RefCell<Option<(Arc<Fibers>, usize)>> = const { RefCell::new(None) };
    static PANIC: RefCell<Option<String>> = const { RefCell::new(None) };
}

fn here() -> Option<(Arc<Fibers>, usize)> {
    HERE.with_borrow(|here| here.clone())
}

/// Between two effects: somebody else may run, and this fiber may never come back.
pub(super) fn point() {
    if let Some((fibers, me)) = here().filter(|_| !std::thread::panicking()) {
        fibers.hand_over(me, false);
    }
}

/// Nothing to do until somebody pokes this instance.
pub(super) fn rest() {
    if let Some((fibers, me)) = here() {
        fibers.hand_over(me, true);
    }
}

/// End this fiber here.
pub(super) fn vanish() -> ! {
    resume_unwind(Box::new(Doomed))
}

/// Work for a thread that the product starts: if a fiber starts it, it becomes a fiber of the same instance.
pub(crate) fn background(work: impl FnOnce() + Send + 'static) -> Box<dyn FnOnce() + Send> {
    match here() {
        None => Box::new(work),
        Some((fibers, parent)) => {
            let instance = fibers.lock().fibers[parent].instance;
            let me = fibers.register(instance);
            Box::new(move || fibers.enter(me, work))
        }
    }
}

/// What the product draws for a nonce.
pub(crate) fn nonce() -> Option<u64> {
    here().map(|(fibers, _)| fibers.below(u64::MAX))
}

impl Fibers {
    /// The caller is the director, fiber 0, and has the turn.
    pub(super) fn new(seed: u64) -> Arc<Self> {
        static HOOK: Once = Once::new();
        HOOK.call_once(|| {
            let default = std::panic::take_hook();
            std::panic::set_hook(Box::new(move |info| match here() {
                None => default(info),
                Some(_) => PANIC.set(Some(info.to_string())),
            }));
        });
        let mut random = Random::new(seed);
        let stickiness = [0, 50, 80, 95][random.below(4) as usize];
        let fibers = Arc::new(Fibers {
            state: Mutex::new(State {
                fibers: Vec::new(),
                running: 0,
                random,
                stickiness,
                frozen: Vec::new(),
                alive: 0,
                failure: None,
            }),
            ended: Condvar::new(),
        });
        fibers.register(None);
        HERE.set(Some((fibers.clone(), 0)));
        fibers
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nobody panics while holding the turn")
    }

    fn register(&self, instance: Option<usize>) -> usize {
        let mut state = self.lock();
        let wake = Arc::new(Condvar::new());
        state.fibers.push(Fiber { instance, wake, ended: false, doomed: false, rests: false });
        state.alive += 1;
        state.fibers.len() - 1
    }

    /// A new fiber of an instance.
    pub(super) fn start(self: &Arc<Self>, instance: usize, work: impl FnOnce() + Send + 'static) {
        let me = self.register(Some(instance));
        let fibers = self.clone();
        std::thread::spawn(move || fibers.enter(me, work));
    }

    fn enter(self: Arc<Self>, me: usize, work: impl FnOnce()) {
        HERE.set(Some((self.clone(), me)));
        {
            let mut state = self.lock();
            let wake = state.fibers[me].wake.clone();
            while state.running != me && !state.fibers[me].doomed {
                state = wake.wait(state).expect("nobody panics while holding the turn");
            }
        }
        let is_doomed = self.lock().fibers[me].doomed;
        if !is_doomed {
            self.guarded(work);
        }
        HERE.set(None);
        let mut state = self.lock();
        state.fibers[me].ended = true;
        state.alive -= 1;
        if state.running == me {
            let next = state.choose(me);
            state.give(next);
        }
        self.ended.notify_all();
    }

    /// A panic breaks a promise; being killed does not.
    pub(super) fn guarded(&self, work: impl FnOnce()) {
        if let Err(payload) = catch_unwind(AssertUnwindSafe(work))
            && !payload.is::<Doomed>()
        {
            self.fail(PANIC.take().unwrap_or_else(|| "a panic without a message".to_owned()));
        }
    }

    fn hand_over(&self, me: usize, rests: bool) {
        let mut state = self.lock();
        state.fibers[me].rests = rests;
        let next = state.choose(me);
        if next != me {
            state.give(next);
            let wake = state.fibers[me].wake.clone();
            while state.running != me && !state.fibers[me].doomed {
                state = wake.wait(state).expect("nobody panics while holding the turn");
            }
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
        let mut state = self.lock();
        state.frozen.retain(|frozen| *frozen != instance);
        for fiber in state.fibers.iter_mut().filter(|fiber| fiber.instance == Some(instance)) {
            fiber.doomed = true;
            fiber.wake.notify_one();
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

    /// Everybody but the director ends.
    pub(super) fn end(&self) {
        let mut state = self.lock();
        for fiber in state.fibers.iter_mut().skip(1) {
            fiber.doomed = true;
            fiber.wake.notify_one();
        }
        while state.alive > 1 {
            state = self.ended.wait(state).expect("nobody panics while holding the turn");
        }
        HERE.set(None);
    }

    /// A number below `bound`, as the seed has it.
    pub(super) fn below(&self, bound: u64) -> u64 {
        self.lock().random.below(bound)
    }
}

impl State {
    fn give(&mut self, next: usize) {
        self.running = next;
        self.fibers[next].wake.notify_one();
    }

    fn may_run(&self, fiber: &Fiber) -> bool {
        !(fiber.ended || fiber.doomed || fiber.rests || fiber.instance.is_some_and(|one| self.frozen.contains(&one)))
    }

    fn choose(&mut self, me: usize) -> usize {
        if self.failure.is_some() {
            return 0;
        }
        if self.may_run(&self.fibers[me]) && self.random.below(100) < self.stickiness {
            return me;
        }
        let able: Vec<usize> = (0..self.fibers.len()).filter(|index| self.may_run(&self.fibers[*index])).collect();
        able[self.random.below(able.len() as u64) as usize]
    }
}
