//! How likely a text is: teacher-forced log-probabilities and perplexity.

use std::io::{Write, stdout};

use hearth_engine::generate::Session;
use hearth_engine::generate::logprobs::likeliest;
use pollster::block_on;
use serde_json::json;

use crate::{Result, Score};

fn tokens(score: &Score, session: &Session) -> Result<Vec<u32>> {
    let tokens = session.tokenizer().encode(&score.text)?;
    match tokens.len() {
        0 | 1 => Err("the text has fewer than two tokens: nothing follows anything".into()),
        _ => Ok(tokens),
    }
}

/// e to the mean negative log-probability of each token after the first.
pub fn perplexity(score: &Score) -> Result<()> {
    let mut session = crate::load(&score.file, None, score.executor, score.threads, score.context, false)?;
    let tokens = tokens(score, &session)?;
    let mut sum = 0.0;
    block_on(session.score(&tokens, |position, log_probs| {
        if let Some(&next) = tokens.get(position + 1) {
            sum -= f64::from(log_probs[next as usize]);
        }
    }))?;
    let scored = tokens.len() - 1;
    writeln!(stdout(), "perplexity {:.4} over {scored} tokens", (sum / scored as f64).exp())?;
    Ok(())
}

/// A line for each position after the first: the token there, its log-probability, and the likeliest tokens.
pub fn logprobs(score: &Score, top: usize, json: bool) -> Result<()> {
    let mut session = crate::load(&score.file, None, score.executor, score.threads, score.context, false)?;
    let tokens = tokens(score, &session)?;
    let mut lines = Vec::new();
    block_on(session.score(&tokens, |position, log_probs| {
        let Some(&next) = tokens.get(position + 1) else { return };
        let best = likeliest(log_probs, top);
        lines.push((next, log_probs[next as usize], best));
    }))?;
    for (position, (id, log_prob, best)) in lines.into_iter().enumerate() {
        if json {
            let top: Vec<_> = best.iter().map(|(id, log_prob)| json!({"id": id, "logprob": log_prob})).collect();
            writeln!(stdout(), "{}", json!({"position": position + 1, "id": id, "logprob": log_prob, "top": top}))?;
        } else {
            let piece = |id: u32| format!("{:?}", session.tokenizer().piece(id));
            let best: Vec<_> = best.iter().map(|(id, p)| format!("{} {:.3}", piece(*id), p)).collect();
            writeln!(stdout(), "{:>5} {id:>7} {:<16} {log_prob:>8.3}   {}", position + 1, piece(id), best.join("  "))?;
        }
    }
    Ok(())
}
