// The little of Express that the benchmark uses; the package has no types of its own.
declare module 'express' {
  import type { IncomingHttpHeaders, Server } from 'node:http';

  export interface Request {
    readonly path: string;
    readonly headers: IncomingHttpHeaders;
    readonly body: unknown;
  }
  export interface Response {
    readonly locals: Record<string, unknown>;
    status(code: number): Response;
    json(body: unknown): Response;
  }
  export type NextFunction = () => void;
  export type Handler = (request: Request, response: Response, next: NextFunction) => void | Promise<void>;
  interface Application {
    disable(setting: string): void;
    use(handler: Handler): void;
    post(path: string, ...handlers: readonly Handler[]): void;
    listen(port: number, host: string, listening: () => void): Server;
  }
  interface Express {
    (): Application;
    json(options: { readonly limit: string }): Handler;
  }
  const express: Express;
  export default express;
}
