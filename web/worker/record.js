// What a worker asked of any server, by the browser's own record, for all but the helpers: {requests}, see `onRequests` in start.js.
// A record cannot be posted as it is.
new PerformanceObserver(list => {
  postMessage({requests: JSON.parse(JSON.stringify(list.getEntries())), origin: performance.timeOrigin});
}).observe({type: 'resource', buffered: true});
