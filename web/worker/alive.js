// How others learn that a worker is gone, which no event tells: it holds a lock for as long as it lives.
const alive = lock => new Promise((held, refused) => {
  navigator.locks.request(lock, () => new Promise(() => held())).catch(refused);
});
