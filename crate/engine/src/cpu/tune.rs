//! Choosing a kernel and a number of threads by timing the first layers of a token: some 50 ms.

use super::Cpu;
use super::matrix::Kernel;
use super::team::Clock;
use crate::executor::{Logits, Tuning};

/// Milliseconds for comparing kernels, and for comparing numbers of threads.
const BUDGET_MS: f64 = 24.0;

/// Milliseconds a candidate runs at a time, about.
const PASS_MS: f64 = 1.0;

/// What is not the default must be faster by this factor: timing is noisy, and threads cost battery and heat.
const WORTH: f64 = 1.05;

impl Cpu {
    /// The best kernel and, if `fewer` than `threads` may do, number of threads for making a token.
    pub(super) fn time_candidates(&mut self, clock: Clock, threads: usize, fewer: bool) -> Tuning {
        let before = (self.kernel, self.team.active());
        let threads = threads.clamp(1, self.team.threads());
        self.team.limit(if fewer { 1 } else { threads });
        let layer_ms = (0..2).map(|_| self.pass(1, clock)).fold(f64::INFINITY, f64::min);
        let layers = ((PASS_MS / layer_ms.max(1e-3)) as usize).clamp(1, self.program.config.n_caches);
        let kernels = Kernel::ALL.iter().copied().filter(|&kernel| kernel != Kernel::DEFAULT);
        let kernels: Vec<_> = [Kernel::DEFAULT].into_iter().chain(kernels).collect();
        let kernel = self.fastest(&kernels, clock, layers, |cpu, kernel| cpu.kernel = kernel);
        let kernel = kernel.unwrap_or(Kernel::DEFAULT);
        self.kernel = kernel;
        let threads = match fewer {
            false => threads,
            true => {
                let counts = [1, 2, 3, 4, 6, 8, 12, 16].into_iter().filter(|&count| count <= threads);
                let best = self.fastest(&counts.collect::<Vec<_>>(), clock, layers, |cpu, count| cpu.team.limit(count));
                best.unwrap_or(threads)
            }
        };
        self.kernel = before.0;
        self.team.limit(before.1);
        Tuning { kernel: kernel.name().into(), threads }
    }

    /// The candidate whose best pass is shortest. They take turns, so that all are timed on the browser's optimised code as
    /// well as on its first. `None` where the clock is too coarse to tell: browsers that hide who they are round it to 16 or
    /// 100 ms.
    fn fastest<C: Copy>(
        &mut self,
        candidates: &[C],
        clock: Clock,
        layers: usize,
        set: impl Fn(&mut Cpu, C),
    ) -> Option<C> {
        let mut best = vec![f64::INFINITY; candidates.len()];
        let start = clock();
        while candidates.len() > 1 && clock() - start < BUDGET_MS {
            for (best, &candidate) in best.iter_mut().zip(candidates) {
                set(self, candidate);
                *best = best.min(self.pass(layers, clock));
            }
        }
        let mut chosen = 0;
        for i in 1..candidates.len() {
            if best[i] * WORTH < best[chosen] {
                chosen = i;
            }
        }
        (candidates.len() == 1 || best[chosen] > 0.0).then_some(candidates[chosen])
    }

    /// Milliseconds of a token's way through the first layers. What it caches is overwritten by the next token.
    fn pass(&mut self, layers: usize, clock: Clock) -> f64 {
        let start = clock();
        for op in 0..self.program.ops_of_layers(layers) {
            self.run(op, &[0], Logits::None);
        }
        clock() - start
    }
}
