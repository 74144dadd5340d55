//! A text as one vector: hidden states, pooled, cut to some dimensions, brought to length one. Reimers & Gurevych 2019,
//! arXiv:1908.10084; cutting off dimensions as in Kusupati et al. 2022, arXiv:2205.13147.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::executor::Logits;
use crate::generate::Session;
use crate::program::Pooling;

/// Tokens that a decoder reads at a time.
const CHUNK: usize = 64;

/// How a vector is made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Embedding {
    /// As the model's file says, if `None`.
    pub pooling: Option<Pooling>,
    /// Whether its length becomes one.
    pub normalize: bool,
    /// Numbers that are kept, from the first on; all, if `None`. Only models trained for it bear that.
    pub dimensions: Option<usize>,
    /// Whether a text that is too long is cut off; refused if not.
    pub truncate: bool,
}

impl Default for Embedding {
    fn default() -> Embedding {
        Embedding { pooling: None, normalize: true, dimensions: None, truncate: false }
    }
}

impl Session {
    /// The hidden states of `tokens`, `[T, D]`: what logits would be made of. Forgets the conversation.
    pub async fn hidden(&mut self, tokens: &[u32]) -> Result<Vec<f32>> {
        self.check(tokens, tokens.len(), self.context())?;
        self.reset();
        // Where tokens see later ones, they are read together.
        let chunk = if self.config().encoder { tokens.len() } else { CHUNK };
        let mut hidden = Vec::with_capacity(tokens.len() * self.config().dim);
        for part in tokens.chunks(chunk) {
            hidden.extend_from_slice(self.executor.forward(part, Logits::Hidden).await?);
        }
        self.reset();
        Ok(hidden)
    }

    /// The vector of a text's `tokens`, those that begin and end it included. Errors if they are too many, unless they may be cut off,
    /// or more dimensions are asked for than there are. Forgets the conversation.
    pub async fn embed(&mut self, tokens: &[u32], how: &Embedding) -> Result<Vec<f32>> {
        let (dim, pooling) = (self.config().dim, how.pooling.unwrap_or(self.config().pooling));
        let kept = how.dimensions.unwrap_or(dim);
        if kept == 0 || kept > dim {
            return Err(Error::InvalidInput(format!("dimensions is {kept}; this model's vectors have {dim}")));
        }
        let hidden = match tokens.split_last() {
            Some((last, _)) if how.truncate && tokens.len() > self.context() => {
                // What ends every text stays.
                let end = [*last].into_iter().filter(|&token| self.tokenizer().is_special(token)).collect::<Vec<_>>();
                self.hidden(&[&tokens[..self.context() - end.len()], &end].concat()).await?
            }
            _ => self.hidden(tokens).await?,
        };
        let rows = || hidden.chunks_exact(dim);
        let mut vector = match pooling {
            Pooling::Cls => rows().next().map(<[f32]>::to_vec),
            Pooling::Last => rows().next_back().map(<[f32]>::to_vec),
            Pooling::Mean => Some(mean(rows(), dim)),
        }
        .expect("a text of no tokens is refused");
        vector.truncate(kept);
        if how.normalize {
            let length = vector.iter().map(|x| f64::from(*x) * f64::from(*x)).sum::<f64>().sqrt();
            vector.iter_mut().for_each(|x| *x = (f64::from(*x) / length.max(f64::MIN_POSITIVE)) as f32);
        }
        Ok(vector)
    }
}

fn mean<'a>(rows: impl ExactSizeIterator<Item = &'a [f32]>, dim: usize) -> Vec<f32> {
    let count = rows.len() as f64;
    let mut sums = vec![0.0; dim];
    rows.for_each(|row| sums.iter_mut().zip(row).for_each(|(sum, x)| *sum += f64::from(*x)));
    sums.into_iter().map(|sum| (sum / count) as f32).collect()
}
