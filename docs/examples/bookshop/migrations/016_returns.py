"""Migration 016: Returns."""

from async_migrations import BaseMigration


class Migration(BaseMigration):
    """Returns."""

    async def upgrade(self) -> None:
        await self.op.drop_constraint("ck_orders_refund_has_its_time", "orders")
        await self.op.create_check_constraint(
            "ck_orders_refund_has_its_time",
            "orders",
            "(status IN ('refunded', 'returned')) = (refunded_at IS NOT NULL)",
            not_valid=True,
        )

    async def downgrade(self) -> None:
        await self.op.drop_constraint("ck_orders_refund_has_its_time", "orders")
        await self.op.create_check_constraint(
            "ck_orders_refund_has_its_time",
            "orders",
            "((status = 'refunded'::public.order_status) = (refunded_at IS NOT NULL))",
        )
