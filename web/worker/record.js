// What a worker asked of any server, by the browser's own record, for all but the helpers: {requests}, see `onRequests` in start.js.
// A record cannot be posted as it is.
new PerformanceObserver(list => {
  postMessage({requests: JSON.parse(JSON.stringify(list.getEntries())), origin: performance.timeOrigin});
}).observe({type: 'resource', buffered: true});

// A record names what was asked for. Where that sent on to elsewhere, who answered is told, too.
const fetchAsked = fetch;
self.fetch = async (...about) => {
  const startTime = performance.now();
  const response = await fetchAsked(...about);
  const {redirected, url: name, status: responseStatus} = response;
  // How much came is in the record, if it is told.
  const request = {name, responseStatus, startTime, transferSize: 0, encodedBodySize: 0};
  if (redirected) postMessage({requests: [request], origin: performance.timeOrigin});
  return response;
};
