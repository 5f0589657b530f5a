"""A login API on aiohttp.web that is traced and measured: each login is one trace, with its requests to the tenant."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from aiohttp import web
from opentelemetry import trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import ConsoleMetricExporter, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from passwordless_async import Email, OAuthError, PasswordlessClient, PasswordlessError
from passwordless_async.adapters.opentelemetry import OpenTelemetry

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from aiohttp.typedefs import Handler

CLIENT = web.AppKey("client", PasswordlessClient)


def make_app(tenant: str, client_id: str, tracing: TracerProvider, metering: MeterProvider) -> web.Application:
    """Return the application, whose client tells both providers what it does."""
    tracer = tracing.get_tracer("login-api")

    @web.middleware
    async def traced(request: web.Request, handler: Handler) -> web.StreamResponse:
        # In place of opentelemetry-instrumentation-aiohttp-server. The name has no query and no body: they have codes.
        with tracer.start_as_current_span(f"{request.method} {request.path}", kind=SpanKind.SERVER) as span:
            try:
                return await handler(request)
            except PasswordlessError as error:
                span.set_status(StatusCode.ERROR)
                span.set_attribute("error.type", error.code)
                status = 400 if isinstance(error, OAuthError) else 503
                return web.json_response({"error": error.code}, status=status)

    async def opened(app: web.Application) -> AsyncIterator[None]:
        telemetry = OpenTelemetry(tracing, metering)
        async with PasswordlessClient(tenant, client_id, on_event=telemetry) as app[CLIENT]:
            yield
        tracing.shutdown()  # the last spans go out, too
        metering.shutdown()

    app = web.Application(middlewares=[traced])
    app.cleanup_ctx.append(opened)
    app.add_routes([web.post("/start", start), web.post("/login", log_in)])
    return app


async def start(request: web.Request) -> web.Response:
    """Send a code."""
    form = await request.post()
    await request.app[CLIENT].start(Email(str(form["email"])))
    return web.Response(status=204)


async def log_in(request: web.Request) -> web.Response:
    """Log in with the code."""
    form = await request.post()
    tokens = await request.app[CLIENT].exchange(Email(str(form["email"])), str(form["code"]), scope="openid")
    return web.json_response({"bound": tokens.bound})


if __name__ == "__main__":
    service = Resource.create({"service.name": "login-api"})
    spans = TracerProvider(resource=service)
    spans.add_span_processor(BatchSpanProcessor(ConsoleSpanExporter()))  # yours: OTLPSpanExporter()
    reader = PeriodicExportingMetricReader(ConsoleMetricExporter())  # yours: OTLPMetricExporter()
    trace.set_tracer_provider(spans)
    web.run_app(make_app(os.environ["AUTH0_DOMAIN"], os.environ["CLIENT_ID"], spans, MeterProvider([reader], service)))
