// The least that a proxy can do: forwards to the upstream and passes its answer on, with no rule and no record.
export default {
  fetch(request, env) {
    const { pathname, search } = new URL(request.url);
    return fetch(env.UPSTREAM + pathname + search, request);
  },
};
