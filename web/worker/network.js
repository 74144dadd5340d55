// The worker that may use the network, as a file: see `networkWorker` in start.js.
importScripts('../engine/store/engine.js', 'alive.js', 'rpc.js', 'record.js', 'store.js');
